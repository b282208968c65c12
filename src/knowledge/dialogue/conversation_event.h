// Events of a conversation beside its questions and answers, for whoever shows it.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "infer/generate.h"
#include "knowledge/recalled_notes.h"
#include "text/chat_message.h"

namespace qwen25 {

// Notes.
struct NoteRemembered {
  int64_t note;
};
struct NoteForgotten {
  int64_t note;
  std::string text;
  bool erased;  // without a trace
};
// Nothing was forgotten, since several notes may be meant.
struct ForgettingUnclear {
  std::vector<RecalledNote> candidates;
};
// Before a question.
struct NotesRecalled {
  struct Note {
    int64_t note;
    double relevance;
    bool is_above;               // it is in the conversation already
    std::vector<int64_t> older;  // notes that it was shown for (RecalledNote::older)
  };
  std::vector<Note> notes;
};
// What a user should know about the model that embeds notes.
struct EmbedderRemark {
  std::string text;
};
// The memory cannot be used; the conversation goes on without it.
struct MemoryTurnedOff {
  Status why;
};

// Attention.
struct AttentionReady {
  std::optional<size_t> num_notes;  // none: no notes were requested
  bool dialogues;
  size_t num_blocks;
};
struct NotesPartlyStored {
  size_t num_stored, num_wanted;  // chunks
  Status why;
};
// Shares of the recalled blocks that attention read for an answer, the greatest first.
struct AttentionRead {
  struct Share {
    std::optional<int64_t> note;  // none: earlier dialogues
    double share;
  };
  std::vector<Share> shares;
};

// Dialogues.
struct DialogueResumed {
  uint32_t number;
  size_t num_messages;                 // without the system message
  std::vector<ChatMessage> last_turn;  // its last question, and what followed
};
// The newest dialogue cannot be read, and a new one begins.
struct DialogueUnreadable {
  Status why;
};
// Another process has continued the dialogue `from`; this conversation is now kept as `to`.
struct DialogueMoved {
  uint32_t from, to;
};

// An answer is complete, or was stopped. `result` is valid during the call.
struct Answered {
  const GenerateResult* result;
};

// Blocks are not stored from here on, since what attention recalls has changed in the middle of the
// conversation. Reported once.
struct BlocksNotStored {
  size_t num_blocks;
};

// Something failed; the conversation goes on.
struct ConversationProblem {
  enum class What {
    kDialoguesNotKept,  // this conversation is not kept
    kNotRemembered,     // a note, a dialogue, or the keys and values of an answer
    kNothingRecalled,   // the notes cannot be searched
    kNothingForgotten,  // a request to forget failed
    kNotesAsBlocks,     // attention may still read notes that have changed
    kStoredBlocks,      // the store could not give blocks that the answer could have used
    kForgottenLater,    // blocks of forgotten notes go when the process that uses them restarts
  };
  What what;
  Status why;
};

using ConversationEvent =
    std::variant<NoteRemembered, NoteForgotten, ForgettingUnclear, NotesRecalled, EmbedderRemark,
                 MemoryTurnedOff, AttentionReady, NotesPartlyStored, AttentionRead, DialogueResumed,
                 DialogueUnreadable, DialogueMoved, Answered, BlocksNotStored, ConversationProblem>;
using ConversationEventSink = std::function<void(const ConversationEvent& event)>;

}  // namespace qwen25

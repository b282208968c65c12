// The semantic memory in `qwen25 chat`: what is remembered and forgotten on request, and which notes go with
// a question.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "cli/chat_recall.h"
#include "cli/flags/embedder_flags.h"
#include "cli/flags/memory_flags.h"
#include "knowledge/recalled_notes.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace qwen25 {

struct ChatNotesFlags {
  size_t recall = 3;       // most notes for a question
  bool as_blocks = false;  // recalled by attention instead
  std::string embedder;
};
void AddChatNotesFlags(CLI::App& verb, ChatNotesFlags& flags);

// Lines for the chat's /help.
inline constexpr const char* kChatNotesHelp =
    "  /remember TEXT   keep a note (so does a line like \"remember that ...\")\n"
    "  /forget ID       forget a note; /forget WORDS the one that they mean, if only one is meant;\n"
    "                   /forget --erase ... leaves no trace of it in the files\n"
    "  /recall WORDS    what the memory holds about something\n"
    "  /memory          the state of the memory; /memory on, /memory off\n";

// Opens the notes when the folder holds some, or when something is to be remembered: a chat that remembers
// nothing makes no folder. Where the memory fails, it says so and is off, and the chat goes on.
class ChatNotes {
 public:
  // Of the tokenizer only the added tokens count: notes never become any of them.
  ChatNotes(const ChatNotesFlags& flags, const MemoryFlags& memory, const Tokenizer& tokenizer,
            size_t max_context_tokens);

  // The notes of this chat's namespace as the model may read them before they are asked for; `as_turns` as
  // for NotePassages. Nothing where there are none, or the memory is off.
  Result<std::vector<NotePassage>> Passages(bool as_turns);
  // Where blocks of notes lie, to be removed with them; null: the folder's are looked for each time. It must
  // outlive this.
  void SetBlockStore(BlockStore* blocks) { blocks_ = blocks; }
  // From now on, notes that `recall` holds are not put before a question, and it learns of those forgotten.
  // It must outlive this.
  void SetRecall(ChatRecall* recall) { recall_ = recall; }

  // Runs /remember, /forget, /recall and /memory; nothing for any other command.
  std::optional<Status> Command(const std::string& command, const std::string& argument);

  // What the model reads in place of `question`: the notes that are relevant for it and not yet in `history`,
  // and the question. Does what a question like "remember that ..." asks for. Prints what was recalled,
  // remembered and forgotten. The text is to be kept in the history as it is, so that the keys and values of
  // earlier turns stay valid.
  std::string WithNotes(const std::string& question, std::span<const ChatMessage> history);

 private:
  // Null: there are no notes, or the memory is off. `create`: makes the store where there is none.
  NoteStore* Store(bool create);
  Result<LoadedNotes> OpenStore() const;
  // Tells recall_ what other processes have changed.
  void CatchUp(NoteStore& store);
  Status RemoveBlocks(NoteStore& store, bool erase);
  Result<int64_t> Remember(const std::string& text);
  Status Forget(std::string argument);
  Status ForgetNote(const Note& note, bool erase);
  Status Recall(const std::string& words);
  Status Describe();
  // Of this chat's namespace; notes of others are as if they were not there.
  Result<Note> OwnNote(NoteStore& store, int64_t id) const;

  const MemoryFlags memory_;
  const std::filesystem::path folder_;
  const std::string name_space_;
  const ChatNotesFlags flags_;
  const size_t max_tokens_;  // of all notes of one question
  std::vector<std::string> control_texts_;
  bool on_;
  LoadedNotes notes_;
  BlockStore* blocks_ = nullptr;
  ChatRecall* recall_ = nullptr;
  int64_t recall_version_ = 0;  // of the notes that recall_ knows
};

}  // namespace qwen25

// The semantic memory in a conversation: what is remembered and forgotten on request, and which notes go with
// a question.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "knowledge/dialogue/attention_recall.h"
#include "knowledge/dialogue/conversation_event.h"
#include "knowledge/memory_folder.h"
#include "knowledge/recalled_notes.h"
#include "text/chat_message.h"
#include "text/tokenizer.h"

namespace qwen25 {

// Opens the notes if the folder holds some, or when something is to be remembered: a conversation that
// remembers nothing makes no folder. If the notes cannot be opened, that is reported, the memory is off, and
// the conversation goes on.
class ConversationNotes {
 public:
  struct Options {
    size_t recall = 3;       // the most notes for a question
    bool as_blocks = false;  // recalled by attention instead
    std::string embedder;    // of EmbedderChoice
  };
  // Of the tokenizer only the added tokens are used: no note becomes one of them. Notes take at most a
  // quarter of `max_context_tokens`.
  ConversationNotes(const Options& options, const MemoryPlace& place, const Tokenizer& tokenizer,
                    size_t max_context_tokens, ConversationEventSink on_event);

  // NotePassages of this namespace; empty if there are no notes, or the memory is off.
  Result<std::vector<NotePassage>> Passages(bool as_turns);
  // The store from which blocks of forgotten notes are removed. Null: the folder's store is opened each time.
  // It must outlive this object.
  void SetBlockStore(BlockStore* blocks) { blocks_ = blocks; }
  // From now on, notes that `recall` holds are not put before a question, and `recall` is told of forgotten
  // notes. It must outlive this object.
  void SetRecall(AttentionRecall* recall) { recall_ = recall; }

  bool is_on() const { return on_; }
  void Switch(bool on) { on_ = on; }
  const MemoryPlace& place() const { return place_; }
  const Options& options() const { return options_; }
  // The number of notes in this namespace.
  Result<uint64_t> Count();

  // Returns the note's id. kInvalidArgument if the memory is off; errors of NoteStore::Add.
  Result<int64_t> Remember(const std::string& text);
  // `what`: the number of a note, or words that mean one. kNotFound if there is none. Reports what was
  // forgotten, or which notes may be meant.
  Status Forget(const std::string& what, bool erase);
  // The 5 best hits for the words, relevant or not.
  Result<std::vector<RecalledNote>> Recall(const std::string& words);

  // What the model reads in place of `question`: the notes that are relevant for it and not yet in `history`,
  // then the question. Obeys questions like "remember that ...". Reports what was recalled, remembered and
  // forgotten. Keep the text in the history unchanged, so that keys and values of earlier turns stay valid.
  std::string WithNotes(const std::string& question, std::span<const ChatMessage> history);

 private:
  // Null if there are no notes, or the memory is off. `create`: makes the store if there is none.
  NoteStore* Store(bool create);
  Result<LoadedNotes> OpenStore() const;
  // Tells recall_ what other processes have changed.
  void CatchUp(NoteStore& store);
  Status RemoveBlocks(NoteStore& store, bool erase);
  Status ForgetNote(const Note& note, bool erase);
  // A note of this namespace; kNotFound for those of others.
  Result<Note> OwnNote(NoteStore& store, int64_t id) const;
  // Does what a question asks of the memory. Returns the note that was made, if any.
  std::optional<int64_t> Obey(const std::string& question);
  void Tell(const ConversationEvent& event) const { on_event_(event); }

  const MemoryPlace place_;
  const Options options_;
  const size_t max_tokens_;  // of all notes of one question
  const ConversationEventSink on_event_;
  std::vector<std::string> control_texts_;
  bool on_;
  LoadedNotes notes_;
  BlockStore* blocks_ = nullptr;
  AttentionRecall* recall_ = nullptr;
  int64_t recall_version_ = 0;  // DataVersion of the notes that recall_ knows
};

}  // namespace qwen25

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

// Opens the notes when the folder holds some, or when something is to be remembered: a conversation that
// remembers nothing makes no folder. If the memory fails, it tells so and is off, and the conversation goes
// on.
class ConversationNotes {
 public:
  struct Options {
    size_t recall = 3;       // most notes for a question
    bool as_blocks = false;  // recalled by attention instead
    std::string embedder;    // of EmbedderChoice
  };
  // Of the tokenizer only the added tokens count: notes never become any of them.
  ConversationNotes(const Options& options, const MemoryPlace& place, const Tokenizer& tokenizer,
                    size_t max_context_tokens, ConversationEventSink on_event);

  // The notes of this namespace as the model may read them before a question asks for them; `as_turns` as
  // for NotePassages. Nothing if there are none, or the memory is off.
  Result<std::vector<NotePassage>> Passages(bool as_turns);
  // Where blocks of notes lie, to be removed with them; null: the folder's are looked for each time. It must
  // outlive this.
  void SetBlockStore(BlockStore* blocks) { blocks_ = blocks; }
  // From now on, notes that `recall` holds are not put before a question, and it learns of those forgotten.
  // It must outlive this.
  void SetRecall(AttentionRecall* recall) { recall_ = recall; }

  bool is_on() const { return on_; }
  void Switch(bool on) { on_ = on; }
  const MemoryPlace& place() const { return place_; }
  const Options& options() const { return options_; }
  // Notes of this namespace.
  Result<uint64_t> Count();

  Result<int64_t> Remember(const std::string& text);
  // `what`: the number of a note, or words that mean one. kNotFound: there is none. Tells what was forgotten,
  // or which notes may be meant.
  Status Forget(const std::string& what, bool erase);
  // The notes that say most about the words, relevant or not.
  Result<std::vector<RecalledNote>> Recall(const std::string& words);

  // What the model reads in place of `question`: the notes that are relevant for it and not yet in `history`,
  // and the question. Does what a question like "remember that ..." asks for. Tells what was recalled,
  // remembered and forgotten. The text is to be kept in the history as it is, so that the keys and values of
  // earlier turns stay valid.
  std::string WithNotes(const std::string& question, std::span<const ChatMessage> history);

 private:
  // Null: there are no notes, or the memory is off. `create`: makes the store if there is none.
  NoteStore* Store(bool create);
  Result<LoadedNotes> OpenStore() const;
  // Tells recall_ what other processes have changed.
  void CatchUp(NoteStore& store);
  Status RemoveBlocks(NoteStore& store, bool erase);
  Status ForgetNote(const Note& note, bool erase);
  // Of this namespace; notes of others are as if they were not there.
  Result<Note> OwnNote(NoteStore& store, int64_t id) const;
  // What a question asks the memory for. The note that came of it, if any.
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
  int64_t recall_version_ = 0;  // of the notes that recall_ knows
};

}  // namespace qwen25

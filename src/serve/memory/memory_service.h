// The memory of a server: notes that requests add, search and are told.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/json.h"
#include "knowledge/dialogue/conversation_notes.h"
#include "knowledge/memory_folder.h"
#include "memory/block_store.h"
#include "text/chat_message.h"
#include "text/tokenizer.h"

namespace qwen25 {

// Thread-safe. Calls may take as long as a search or a write to the disk.
class MemoryService {
 public:
  struct Options {
    MemoryPlace place;     // its namespace plays no part: each call names one
    std::string embedder;  // of EmbedderChoice
  };
  // A memory whose keys and values cannot be used is a remark, and goes on with notes alone.
  static std::unique_ptr<MemoryService> Open(const Options& options, std::vector<std::string>& remarks);

  bool is_on() const { return !options_.place.off; }
  // Keys and values that outlast the process; null if there are none.
  BlockStore* blocks() const { return blocks_.get(); }

  // Puts the notes of the namespace that are relevant for the last message, if that is a user's, before it,
  // and does what the message asks of the memory ("Remember that ..."). Returns what happened: {"recalled":
  // [{"note", "relevance"}], "remembered": [note], "forgotten": [note], "problems": [text]}, without what is
  // empty. Notes never become tokens of the model, and take at most a quarter of its context.
  Json AddNotes(const std::string& name_space, const std::string& model, const Tokenizer& tokenizer,
                size_t max_context_tokens, std::vector<ChatMessage>& messages);

  // Errors of NoteStore. Notes of other namespaces than the one that is named are not there (kNotFound).
  Result<int64_t> Add(const NewNote& note);
  Result<Note> Get(const std::string& name_space, int64_t id);
  Result<std::vector<Note>> List(const std::string& name_space, bool include_superseded);
  Result<std::vector<NoteHit>> Search(const NoteSearch& search);
  Status Forget(const std::string& name_space, int64_t id, bool erase);

 private:
  // The notes of a namespace for the prompts of one model.
  struct Conversation {
    std::string name_space, model;
    std::mutex mutex;
    std::vector<ConversationEvent> events;
    std::unique_ptr<ConversationNotes> notes;
  };

  explicit MemoryService(const Options& options) : options_(options) {}
  // Null, without an error, if there are no notes and none are to be made.
  Result<NoteStore*> Store(bool create);
  std::shared_ptr<Conversation> ConversationOf(const std::string& name_space, const std::string& model,
                                               const Tokenizer& tokenizer, size_t max_context_tokens);

  const Options options_;
  std::unique_ptr<BlockStore> blocks_;
  std::mutex mutex_;  // of notes_
  LoadedNotes notes_;
  std::mutex conversations_mutex_;
  std::list<std::shared_ptr<Conversation>> conversations_;  // used last first
};

}  // namespace qwen25

// What attention reads beside the conversation itself: keys and values of earlier dialogues and of notes.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "infer/load_model.h"
#include "knowledge/dialogue/conversation_event.h"
#include "knowledge/dialogue/note_blocks.h"
#include "memory/block_store.h"
#include "memory/recalled_blocks.h"

namespace qwen25 {

class AttentionRecall {
 public:
  struct Options {
    std::string name_space;
    bool dialogues = false, notes = false;
    // As for StoreNotesAsBlocks; may be null.
    std::function<bool(size_t done, size_t total)> progress = nullptr;
  };
  // Stores the passages as blocks first, if options.notes and `store` is not encrypted. Reports to `on_event`
  // what can be recalled. kInvalidArgument without a recall window; errors of StoreNotesAsBlocks and
  // RecalledBlocks::Load. `store` must outlive the result.
  static Result<AttentionRecall> Load(const LoadedModel& model, BlockStore& store, const Options& options,
                                      const std::vector<NotePassage>& passages,
                                      const ConversationEventSink& on_event);

  // Null if there is nothing to recall.
  const RecalledBlocks* blocks() const { return blocks_.get(); }
  // Notes that are stored whole, so that attention finds them by itself.
  const std::set<int64_t>& HeldNotes() const { return notes_.whole; }
  // To be called after notes were forgotten or replaced. Removes their blocks, with `erase` without a trace,
  // so that attention no longer finds them.
  Status NotesChanged(NoteStore& notes, bool erase);
  // What attention has read since the last call: the greatest shares, at most 5. Empty if it read no recalled
  // block.
  AttentionRead TakeReads();

 private:
  AttentionRecall(BlockStore& store, Options options) : store_(&store), options_(std::move(options)) {}

  BlockStore* store_;
  Options options_;
  std::unique_ptr<RecalledBlocks> blocks_;
  StoredNotes notes_;
};

}  // namespace qwen25

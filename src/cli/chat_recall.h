// What attention of a chat reads beside the chat itself: keys and values of earlier dialogues and of notes.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "cli/note_blocks.h"
#include "infer/load_model.h"
#include "memory/block_store.h"
#include "memory/recalled_blocks.h"

namespace qwen25 {

class ChatRecall {
 public:
  struct Options {
    std::string name_space;
    bool dialogues = false, notes = false;
  };
  // Stores the passages as blocks first, where notes are wanted. Says what can be recalled. kInvalidArgument
  // without a recall window; errors of RecalledBlocks::Load. `store` must outlive the result.
  static Result<ChatRecall> Load(const LoadedModel& model, BlockStore& store, const Options& options,
                                 const std::vector<NotePassage>& passages);

  // Null: there is nothing to recall.
  const RecalledBlocks* blocks() const { return blocks_.get(); }
  // Notes that attention finds by itself.
  const std::set<int64_t>& HeldNotes() const { return notes_.whole; }
  // After notes were forgotten or replaced: attention no longer finds them, and their blocks are removed.
  Status NotesChanged(NoteStore& notes, bool erase);
  // "note 3 (61 %), dialogues (39 %)": shares of the recalled blocks that attention has read since the last
  // call, the greatest first. Empty where it read none.
  std::string TakeReads();

 private:
  ChatRecall(BlockStore& store, Options options) : store_(&store), options_(std::move(options)) {}

  BlockStore* store_;
  Options options_;
  std::unique_ptr<RecalledBlocks> blocks_;
  StoredNotes notes_;
};

}  // namespace qwen25

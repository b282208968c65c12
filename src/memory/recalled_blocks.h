// Stored blocks of a namespace as the beginning of a session's list: what was said in other conversations,
// and passages such as notes, recalled by attention itself.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/hash.h"
#include "base/status.h"
#include "base/thread_pool.h"
#include "memory/block_store.h"
#include "ops/attention/sequence_kv.h"
#include "tensor/aligned_buffer.h"

namespace qwen25 {

// What of a namespace is recalled.
struct RecallFilter {
  size_t max_blocks = SIZE_MAX;  // the newest
  bool dialogues = true, passages = true;
};

// The blocks that a namespace held when Load was called. Their summaries are in RAM, they themselves stay
// where they are and are read through the map, each layer of each checked before it is first used. A block
// that is damaged, or was removed since, is left out of attention, and nothing else is.
//
// One score decides: the router that chooses among a session's own blocks has these in the same list. What is
// not in the namespace is not in the list, and so never scored.
class RecalledBlocks : public BlockSource {
 public:
  // Null where there is nothing to recall. kUnsupported for an encrypted store. `store` must outlive the
  // result.
  static Result<std::unique_ptr<RecalledBlocks>> Load(const BlockStore& store, std::string_view name_space,
                                                      const BlockFormat& format, const AttentionShape& shape,
                                                      ThreadPool& threads, const RecallFilter& filter = {});

  // Places in the list, a multiple of kPanelBlocks, and the blocks that are in them.
  size_t size() const { return num_panels_ * kPanelBlocks; }
  size_t num_blocks() const { return blocks_.size(); }
  size_t num_panels() const { return num_panels_; }
  // Of RAM, for the summaries.
  size_t num_bytes() const { return memory_.size(); }
  // [num_panels()] panels of summaries of a layer, BytesPerPanel() bytes each.
  std::span<std::byte* const> Panels(size_t layer) const {
    return std::span(panels_).subspan(layer * num_panels_, num_panels_);
  }
  // Writes the summaries of these panels to the super panels of a list that begins with them.
  void SummarizePanels(size_t layer, std::span<std::byte* const> super_panels) const;
  // [size()] tokens of each that count: those of a dialogue all do, of a passage's blocks perhaps not.
  std::span<const uint8_t> num_tokens() const { return num_tokens_; }
  // Changes with the blocks and their order.
  const Hash128& name() const { return name_; }
  // Changes with the panels: what was made of them (SummarizePanels) is to be made anew.
  uint64_t version() const { return version_; }

  // Where they are. A forward pass holds a BlockStore::Reading of it, so that others may write meanwhile.
  const BlockStore* store() const { return &store_; }

  // Takes passages out that the store no longer holds: the router no longer finds them, and name() is another
  // one, so that what is computed from now on is not taken for what was computed with them.
  Status DropRemovedPassages();

  // How often attention read a layer of a passage's blocks since the last call, by the passage's name, and of
  // all dialogues' under zeros.
  std::unordered_map<Hash128, uint64_t, Hash128Hasher> TakeReads();

  const std::byte* Block(size_t layer, size_t block) const override;

 private:
  RecalledBlocks(const BlockStore& store, const BlockFormat& format, const AttentionShape& shape)
      : store_(store), format_(format), shape_(shape) {}
  void SetName();
  Status LoadPanels(ThreadPool& threads);
  Status LoadPanel(size_t panel) const;

  const BlockStore& store_;
  BlockFormat format_;
  AttentionShape shape_;
  std::string name_space_;
  std::vector<StoredBlock> blocks_;
  std::unique_ptr<std::atomic<uint64_t>[]> reads_;  // [blocks]
  std::vector<uint8_t> num_tokens_;                 // [size()]
  Hash128 name_;
  uint64_t version_ = 0;
  size_t num_panels_ = 0;
  AlignedBuffer<std::byte> memory_;
  std::vector<std::byte*> panels_;  // [layers, num_panels_]
};

}  // namespace qwen25

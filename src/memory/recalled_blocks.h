// Stored blocks of a namespace (other conversations, and passages such as notes) at the beginning of a
// session's list of blocks, so that attention itself recalls them.
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

// Which blocks of a namespace are recalled.
struct RecallFilter {
  size_t max_blocks = SIZE_MAX;  // keeps the newest
  bool dialogues = true, passages = true;
};

// The blocks that a namespace held when Load was called. Their summaries are in RAM; their keys and values
// are read through the store's map, and each layer is checked before its first use. Attention leaves out a
// block that is damaged or was removed since, and no other.
//
// The router scores these blocks and the session's own in one list. Blocks of other namespaces are not in the
// list and thus never scored.
class RecalledBlocks : public BlockSource {
 public:
  // Null if there is nothing to recall. kUnsupported for an encrypted store. `store` must outlive the result.
  static Result<std::unique_ptr<RecalledBlocks>> Load(const BlockStore& store, std::string_view name_space,
                                                      const BlockFormat& format, const AttentionShape& shape,
                                                      ThreadPool& threads, const RecallFilter& filter = {});

  // Number of places in the list, a multiple of kPanelBlocks. The first num_blocks() are for blocks, those
  // dropped later included.
  size_t size() const { return num_panels_ * kPanelBlocks; }
  size_t num_blocks() const { return blocks_.size(); }
  size_t num_panels() const { return num_panels_; }
  // RAM for the summaries.
  size_t num_bytes() const { return memory_.size(); }
  // [num_panels()] panels of summaries of one layer, BytesPerPanel() bytes each.
  std::span<std::byte* const> Panels(size_t layer) const {
    return std::span(panels_).subspan(layer * num_panels_, num_panels_);
  }
  // Summarises these panels in the super panels of a list that begins with them.
  void SummarizePanels(size_t layer, std::span<std::byte* const> super_panels) const;
  // [size()] number of tokens that count in each place: all kBlockTokens, or fewer in blocks of passages.
  std::span<const uint8_t> num_tokens() const { return num_tokens_; }
  // A hash of the blocks' names, in order.
  const Hash128& name() const { return name_; }
  // Rises whenever panels change; then call SummarizePanels again.
  uint64_t version() const { return version_; }

  // The blocks' store. A forward pass must hold a BlockStore::Reading of it, since others may write
  // meanwhile.
  const BlockStore* store() const { return &store_; }

  // Drops blocks of passages that the store no longer holds, so that the router no longer finds them. name()
  // changes, so that blocks computed from now on differ in name from those computed with the dropped ones.
  Status DropRemovedPassages();

  // How often attention has read a layer of a block since the last call: by the passage's name, and for all
  // dialogues together under a name of zeros.
  std::unordered_map<Hash128, uint64_t, Hash128Hasher> TakeReads();

  const std::byte* Block(size_t layer, size_t block) const override;

 private:
  RecalledBlocks(const BlockStore& store, const BlockFormat& format, const AttentionShape& shape)
      : store_(store), format_(format), shape_(shape) {}
  void SetName();
  Status LoadPanels(ThreadPool& threads);
  Status LoadPanel(const BlockStore::Reading& reading, size_t panel) const;

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

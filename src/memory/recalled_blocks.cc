#include "memory/recalled_blocks.h"

#include <algorithm>
#include <mutex>
#include <set>

#include "ops/attention/stored_summary.h"

namespace qwen25 {
Result<std::unique_ptr<RecalledBlocks>> RecalledBlocks::Load(const BlockStore& store,
                                                             std::string_view name_space,
                                                             const BlockFormat& format,
                                                             const AttentionShape& shape, ThreadPool& threads,
                                                             const RecallFilter& filter) {
  QWEN25_CHECK(format.summary_bytes == SummaryBytes(shape) && format.layer_bytes == shape.BytesPerBlock());
  if (store.IsEncrypted()) {
    return Unsupported(
        "an encrypted memory cannot be recalled by attention, which reads blocks without decrypting them; "
        "continuing dialogues works");
  }
  std::unique_ptr<RecalledBlocks> recalled(new RecalledBlocks(store, format, shape));
  recalled->name_space_ = name_space;
  recalled->blocks_ = store.List(name_space, format);
  std::vector<StoredBlock>& blocks = recalled->blocks_;
  std::erase_if(blocks, [&](const StoredBlock& block) {
    return block.IsOfPassage() ? !filter.passages : !filter.dialogues;
  });
  if (blocks.size() > filter.max_blocks) {
    blocks.erase(blocks.begin(), blocks.end() - static_cast<ptrdiff_t>(filter.max_blocks));
  }
  if (blocks.empty()) return std::unique_ptr<RecalledBlocks>();
  recalled->reads_ = std::make_unique<std::atomic<uint64_t>[]>(blocks.size());
  recalled->SetName();
  QWEN25_RETURN_IF_ERROR(recalled->LoadPanels(threads));
  return recalled;
}

void RecalledBlocks::SetName() {
  std::vector<Hash128> ids;
  for (const StoredBlock& block : blocks_) ids.push_back(block.id);
  name_ = CombineHashes(ids);
}

Status RecalledBlocks::DropRemovedPassages() {
  std::set<size_t> panels;
  for (size_t i = 0; i < blocks_.size(); ++i) {
    StoredBlock& block = blocks_[i];
    if (!block.IsOfPassage() || store_.Contains(block)) continue;
    block = {};  // a place without a block
    panels.insert(i / kPanelBlocks);
  }
  if (panels.empty()) return {};
  ++version_;
  SetName();
  const BlockStore::Reading reading = store_.BeginReading();
  Status first_error;
  for (const size_t panel : panels) {
    const Status status = LoadPanel(reading, panel);
    if (first_error.ok()) first_error = status;
  }
  return first_error;
}

std::unordered_map<Hash128, uint64_t, Hash128Hasher> RecalledBlocks::TakeReads() {
  std::unordered_map<Hash128, uint64_t, Hash128Hasher> reads;
  for (size_t i = 0; i < blocks_.size(); ++i) {
    const uint64_t count = reads_[i].exchange(0, std::memory_order_relaxed);
    if (count > 0) reads[blocks_[i].IsOfPassage() ? blocks_[i].parent : Hash128()] += count;
  }
  return reads;
}

Status RecalledBlocks::LoadPanels(ThreadPool& threads) {
  num_panels_ = (blocks_.size() + kPanelBlocks - 1) / kPanelBlocks;
  num_tokens_.assign(size(), kBlockTokens);
  for (size_t i = 0; i < blocks_.size(); ++i) num_tokens_[i] = static_cast<uint8_t>(blocks_[i].NumTokens());
  const size_t panel_bytes = shape_.BytesPerPanel();
  memory_ = AlignedBuffer<std::byte>(format_.num_layers * num_panels_ * panel_bytes);
  for (size_t i = 0; i < format_.num_layers * num_panels_; ++i) {
    panels_.push_back(memory_.data() + i * panel_bytes);
  }
  // Before the threads, as in a forward pass: two locks are always taken in the same order.
  const BlockStore::Reading reading = store_.BeginReading();
  std::mutex mutex;
  Status first_error;
  threads.ParallelFor(num_panels_, [&](size_t panel, size_t) {
    const Status status = LoadPanel(reading, panel);
    const std::lock_guard lock(mutex);
    if (first_error.ok()) first_error = status;
  });
  return first_error;
}

Status RecalledBlocks::LoadPanel(const BlockStore::Reading& reading, size_t panel) const {
  const size_t first = panel * kPanelBlocks, count = std::min(kPanelBlocks, blocks_.size() - first);
  const size_t bytes = size_t{format_.num_layers} * format_.summary_bytes;
  std::vector<std::byte> summaries(count * bytes);
  std::vector<bool> is_there;
  std::vector<const std::byte*> of_layer;
  for (size_t i = 0; i < count; ++i) {
    const Status status = store_.Summaries(reading, blocks_[first + i], format_,
                                           std::span(summaries).subspan(i * bytes, bytes));
    // A block without a sound summary is left out. Block() checks keys and values.
    is_there.push_back(status.ok());
    if (status.code() == StatusCode::kCorrupt || status.code() == StatusCode::kNotFound) continue;
    QWEN25_RETURN_IF_ERROR(status);
  }
  for (size_t layer = 0; layer < format_.num_layers; ++layer) {
    of_layer.clear();
    for (size_t i = 0; i < count; ++i) {
      of_layer.push_back(is_there[i] ? summaries.data() + i * bytes + layer * format_.summary_bytes
                                     : nullptr);
    }
    FillPanel(shape_, of_layer, panels_[layer * num_panels_ + panel]);
  }
  return {};
}

void RecalledBlocks::SummarizePanels(size_t layer, std::span<std::byte* const> super_panels) const {
  for (size_t panel = 0; panel < num_panels_; ++panel) {
    const size_t lane = panel * kPanelParts;
    SummarizeStoredPanel(shape_, Panels(layer)[panel], lane % kPanelBlocks,
                         super_panels[lane / kPanelBlocks]);
  }
}

const std::byte* RecalledBlocks::Block(size_t layer, size_t block) const {
  if (block >= blocks_.size()) return nullptr;
  const std::byte* bytes = store_.Layer(blocks_[block], format_, layer);
  if (bytes != nullptr) reads_[block].fetch_add(1, std::memory_order_relaxed);
  return bytes;
}

}  // namespace qwen25

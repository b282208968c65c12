#include "memory/recalled_blocks.h"

#include <algorithm>
#include <mutex>

#include "ops/stored_summary.h"

namespace qwen25 {
Result<std::unique_ptr<RecalledBlocks>> RecalledBlocks::Load(const BlockStore& store,
                                                             std::string_view name_space,
                                                             const BlockFormat& format,
                                                             const AttentionShape& shape, ThreadPool& threads,
                                                             size_t max_blocks) {
  QWEN25_CHECK(format.summary_bytes == SummaryBytes(shape) && format.layer_bytes == shape.BytesPerBlock());
  if (store.IsEncrypted()) {
    return Unsupported(
        "an encrypted memory cannot be recalled by attention: its blocks are read where they lie; continuing "
        "dialogues works");
  }
  std::unique_ptr<RecalledBlocks> recalled(new RecalledBlocks(store, format, shape));
  recalled->blocks_ = store.List(name_space, format);
  std::vector<StoredBlock>& blocks = recalled->blocks_;
  if (blocks.size() > max_blocks) {
    blocks.erase(blocks.begin(), blocks.end() - static_cast<ptrdiff_t>(max_blocks));
  }
  if (recalled->blocks_.empty()) return std::unique_ptr<RecalledBlocks>();
  std::vector<Hash128> ids;
  for (const StoredBlock& block : recalled->blocks_) ids.push_back(block.id);
  recalled->name_ = CombineHashes(ids);
  QWEN25_RETURN_IF_ERROR(recalled->LoadPanels(threads));
  return recalled;
}

Status RecalledBlocks::LoadPanels(ThreadPool& threads) {
  num_panels_ = (blocks_.size() + kPanelBlocks - 1) / kPanelBlocks;
  const size_t panel_bytes = shape_.BytesPerPanel();
  memory_ = AlignedBuffer<std::byte>(format_.num_layers * num_panels_ * panel_bytes);
  for (size_t i = 0; i < format_.num_layers * num_panels_; ++i) {
    panels_.push_back(memory_.data() + i * panel_bytes);
  }
  std::mutex mutex;
  Status first_error;
  threads.ParallelFor(num_panels_, [&](size_t panel, size_t) {
    const Status status = LoadPanel(panel);
    const std::lock_guard lock(mutex);
    if (first_error.ok()) first_error = status;
  });
  return first_error;
}

Status RecalledBlocks::LoadPanel(size_t panel) const {
  const size_t first = panel * kPanelBlocks, count = std::min(kPanelBlocks, blocks_.size() - first);
  const size_t bytes = size_t{format_.num_layers} * format_.summary_bytes;
  std::vector<std::byte> summaries(count * bytes);
  std::vector<const std::byte*> of_layer;
  for (size_t i = 0; i < count; ++i) {
    const Status status =
        store_.Summaries(blocks_[first + i], format_, std::span(summaries).subspan(i * bytes, bytes));
    // A damaged summary costs its block: zeros attract nobody, and Block() checks the rest.
    if (status.code() == StatusCode::kCorrupt || status.code() == StatusCode::kNotFound) {
      std::fill_n(summaries.data() + i * bytes, bytes, std::byte{0});
      continue;
    }
    QWEN25_RETURN_IF_ERROR(status);
  }
  for (size_t layer = 0; layer < format_.num_layers; ++layer) {
    of_layer.clear();
    for (size_t i = 0; i < count; ++i) {
      of_layer.push_back(summaries.data() + i * bytes + layer * format_.summary_bytes);
    }
    FillPanel(shape_, of_layer, panels_[layer * num_panels_ + panel]);
  }
  return {};
}

void RecalledBlocks::SummarizePanels(size_t layer, std::span<std::byte* const> super_panels) const {
  for (size_t panel = 0; panel < num_panels_; ++panel) {
    SummarizeStoredPanel(shape_, Panels(layer)[panel],
                         std::min(kPanelBlocks, blocks_.size() - panel * kPanelBlocks), panel % kPanelBlocks,
                         super_panels[panel / kPanelBlocks]);
  }
}

const std::byte* RecalledBlocks::Block(size_t layer, size_t block) const {
  return block < blocks_.size() ? store_.Layer(blocks_[block], format_, layer) : nullptr;
}

}  // namespace qwen25

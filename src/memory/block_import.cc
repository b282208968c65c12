#include <algorithm>
#include <unordered_set>

#include "memory/block_export.h"
#include "memory/block_export_file.h"

namespace qwen25 {
namespace {

// Limits of one transaction: large enough to make the flush cheap, small enough to lose little by a stop.
constexpr size_t kBatchBlocks = 64, kBatchBytes = size_t{64} << 20;

class Import {
 public:
  Import(BlockStore& store, const BlockExportFile& file, BlockImportReport& report)
      : store_(store), file_(file), report_(report) {}

  // Stores rows [first, end) of a format, in one transaction.
  Status StoreRows(const ExportedBlocks& from, size_t first, size_t end) {
    std::vector<NewBlock> blocks;
    std::vector<const std::byte*> layers((end - first) * from.format.num_layers);
    std::unordered_set<Hash128, Hash128Hasher> in_batch;
    const size_t row_bytes = from.BytesOfKeysAndValues() + from.BytesOfSummaries();
    rows_.resize((end - first) * row_bytes);
    for (size_t row = first; row < end; ++row) {
      const Hash128& id = from.columns.ids[row];
      const Hash128 parent = from.ParentId(row);
      if (IsThere(from, id)) {
        ++report_.num_present;
      } else if (from.columns.positions[row] > 0 && !in_batch.contains(parent) && !IsThere(from, parent)) {
        ++report_.num_orphans;
      } else {
        const std::span<std::byte> copy = std::span(rows_).subspan((row - first) * row_bytes, row_bytes);
        QWEN25_RETURN_IF_ERROR(CopyRow(from, row, copy));
        in_batch.insert(id);
        blocks.push_back(
            AsNew(from, row, copy,
                  std::span(layers).subspan((row - first) * from.format.num_layers, from.format.num_layers)));
      }
    }
    if (blocks.empty()) return {};
    QWEN25_RETURN_IF_ERROR(store_.Put(file_.name_space(), from.format, blocks));
    report_.num_stored += blocks.size();
    return {};
  }

 private:
  bool IsThere(const ExportedBlocks& from, const Hash128& id) const {
    return store_.Contains(file_.name_space(), from.format, id);
  }

  // Checks the copy, which is then stored: the file may be cut short at any time.
  Status CopyRow(const ExportedBlocks& from, size_t row, std::span<std::byte> copy) const {
    const size_t split = from.BytesOfKeysAndValues();
    std::ranges::copy(from.KeysAndValues(row), copy.begin());
    std::ranges::copy(from.Summaries(row), copy.begin() + static_cast<ptrdiff_t>(split));
    const uint32_t sum = from.SumOf(row, copy.first(split), copy.subspan(split));
    if (sum == from.columns.sums[row]) return {};
    return Corrupt(
        "{}: the sum of block {} of format {} is {:08x}, expected {:08x}; the file is damaged: export or "
        "copy it again ({} blocks were stored and stay)",
        file_.path(), row, &from - file_.formats().data(), sum, from.columns.sums[row], report_.num_stored);
  }

  static NewBlock AsNew(const ExportedBlocks& from, size_t row, std::span<const std::byte> copy,
                        std::span<const std::byte*> layers) {
    for (size_t layer = 0; layer < layers.size(); ++layer) {
      layers[layer] = copy.data() + layer * from.format.layer_bytes;
    }
    return {.id = from.columns.ids[row],
            .parent = from.ParentId(row),
            .position = static_cast<uint32_t>(from.columns.positions[row]),
            .tokens = from.columns.TokensOf(row),
            .layers = layers,
            .summaries = copy.subspan(from.BytesOfKeysAndValues())};
  }

  BlockStore& store_;
  const BlockExportFile& file_;
  BlockImportReport& report_;
  std::vector<std::byte> rows_;  // of the batch
};

}  // namespace

Result<BlockImportReport> ImportBlocks(BlockStore& store, const std::filesystem::path& path,
                                       const BlockProgress& progress) {
  QWEN25_TRY(const BlockExportFile file, BlockExportFile::Open(path));
  BlockImportReport report = {.name_space = file.name_space()};
  for (const ExportedBlocks& blocks : file.formats()) report.num_blocks += blocks.size();
  const uint64_t held_before = store.Stats().num_blocks;
  uint64_t done = 0;
  Import import(store, file, report);
  for (const ExportedBlocks& blocks : file.formats()) {
    const size_t row_bytes = blocks.BytesOfKeysAndValues() + blocks.BytesOfSummaries();
    const size_t batch = std::clamp<size_t>(kBatchBytes / row_bytes, 1, kBatchBlocks);
    for (size_t first = 0; first < blocks.size(); first += batch) {
      const size_t end = std::min(first + batch, blocks.size());
      QWEN25_RETURN_IF_ERROR(import.StoreRows(blocks, first, end));
      done += end - first;
      if (progress && !progress(done, report.num_blocks) && done < report.num_blocks) {
        return Cancelled(
            "stopped; {} blocks were stored and stay; run the same command again to store the rest",
            report.num_stored);
      }
    }
  }
  report.num_removed = held_before + report.num_stored - store.Stats().num_blocks;
  return report;
}

}  // namespace qwen25

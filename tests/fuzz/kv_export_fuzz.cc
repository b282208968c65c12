#include "base/check.h"
#include "memory/block_export_file.h"
#include "memory_file.h"
#include "targets.h"

namespace qwen25 {
namespace {

// What an import relies on.
void CheckRows(const ExportedBlocks& blocks) {
  const ExportColumns& columns = blocks.columns;
  QWEN25_CHECK(ValidateBlockFormat(blocks.format).ok());
  const size_t rows = blocks.size();
  QWEN25_CHECK(columns.parents.size() == rows && columns.positions.size() == rows);
  QWEN25_CHECK(columns.sums.size() == rows && columns.tokens.size() == rows * kBlockTokens);
  size_t num_right = 0;
  for (size_t row = 0; row < rows; ++row) {
    const int32_t parent = columns.parents[row];
    QWEN25_CHECK(parent >= kNoParentRow && parent < static_cast<int64_t>(row));
    QWEN25_CHECK((parent == kNoParentRow) == (columns.positions[row] == 0));
    if (parent != kNoParentRow) {
      QWEN25_CHECK(BlockIdOf(blocks.ParentId(row), columns.TokensOf(row)) == columns.ids[row]);
    }
    num_right += blocks.SumOf(row) == columns.sums[row];  // reads all of its bytes
  }
  QWEN25_CHECK(num_right <= rows);
}

}  // namespace

// A file that is opened can be imported: every row is in its bytes, behind the row that it follows.
void FuzzKvExport(std::span<const uint8_t> bytes) {
  const MemoryFile input(bytes);
  const auto file = BlockExportFile::Open(input.path());
  if (!file.ok()) {
    QWEN25_CHECK(file.status().message().find(input.path()) != std::string::npos);
    return;
  }
  for (const ExportedBlocks& blocks : file->formats()) CheckRows(blocks);
}

}  // namespace qwen25

// Export of stored blocks to a file, and import into another store. Format: docs/formats/kv_export.md.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "memory/block_store.h"

namespace qwen25 {

// Called with the number of blocks done; returning false stops. May be null.
using BlockProgress = std::function<bool(uint64_t done, uint64_t total)>;

struct BlockExportReport {
  uint64_t num_blocks = 0;           // written
  uint64_t num_bytes = 0;            // of keys, values and summaries written
  std::vector<std::string> damaged;  // blocks not written: one message each
  uint64_t num_orphans = 0;          // not written because the block before them is damaged or missing
};

// Writes the blocks of a namespace's dialogues to `path`, not encrypted even if the store is. Blocks of
// passages are left out: they can be computed from their texts. `path` is replaced once the new file is
// complete and flushed; an error leaves it as it was. The store does not change, and no use is counted.
// kNotFound if the namespace holds no such blocks, kCorrupt if none of them can be read, kInvalidArgument if
// its name is not UTF-8, kCancelled if `progress` stopped it, and errors of writing.
Result<BlockExportReport> ExportBlocks(const BlockStore& store, std::string_view name_space,
                                       const std::filesystem::path& path, const BlockProgress& progress);

struct BlockImportReport {
  std::string name_space;
  uint64_t num_blocks = 0;   // in the file
  uint64_t num_stored = 0;   // new in the store
  uint64_t num_present = 0;  // already in the store
  uint64_t num_orphans = 0;  // not stored because the block before them was evicted
  uint64_t num_removed = 0;  // evicted from the store
};

// Stores the blocks of an exported file under the namespace that the file names, since their ids depend on
// it. Blocks that the store already holds are skipped. Blocks are stored in transactions of up to 64: after
// an error or a stop, importing the same file again stores the rest. Errors of BlockExportFile::Open and
// BlockStore::Put, kCorrupt if a block's checksum is wrong, kCancelled if `progress` stopped it.
Result<BlockImportReport> ImportBlocks(BlockStore& store, const std::filesystem::path& path,
                                       const BlockProgress& progress);

}  // namespace qwen25

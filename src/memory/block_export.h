// Stored blocks on their way from one memory to another. The file: docs/formats/kv_export.md
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

// Told how many blocks are done; false stops. May be null.
using BlockProgress = std::function<bool(uint64_t done, uint64_t total)>;

struct BlockExportReport {
  uint64_t num_blocks = 0;           // written
  uint64_t num_bytes = 0;            // of these, keys, values and summaries
  std::vector<std::string> damaged;  // not written: one line each
  uint64_t num_orphans = 0;          // not written: what they follow is damaged, or gone
};

// Writes the blocks of a namespace's dialogues, not encrypted, whatever the store is; those of passages are
// made from their texts wherever these are. Replaces `path` when it is complete and flushed, and leaves
// everything as it was otherwise. Changes nothing in the store, nor counts as use. kNotFound where the
// namespace holds none; kInvalidArgument if its name is not UTF-8; kCancelled.
Result<BlockExportReport> ExportBlocks(const BlockStore& store, std::string_view name_space,
                                       const std::filesystem::path& path, const BlockProgress& progress);

struct BlockImportReport {
  std::string name_space;
  uint64_t num_blocks = 0;   // in the file
  uint64_t num_stored = 0;   // new in the store
  uint64_t num_present = 0;  // there before
  uint64_t num_orphans = 0;  // not stored: what they follow had to make room for others
  uint64_t num_removed = 0;  // from the store, to make room
};

// Stores the blocks of such a file under the namespace that it names, which their ids belong to. Blocks that
// are there already are left alone. Stored in transactions: what an error or a stop leaves is whole, and the
// next import goes on after it. Errors of BlockExportFile::Open and BlockStore::Put, kCorrupt where the sum
// of a block is wrong, kCancelled.
Result<BlockImportReport> ImportBlocks(BlockStore& store, const std::filesystem::path& path,
                                       const BlockProgress& progress);

}  // namespace qwen25

// Prepares the documents of files for the corpus: reads, decompresses, renders, cleans, judges and
// fingerprints them. Calls are independent of each other and may run in parallel.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/dedup.h"
#include "data/filters.h"
#include "data/read/document.h"
#include "data/read/sources.h"

namespace qwen25 {

// The part of a file that one task reads. Parts of one file meet at line ends: a line belongs to the part
// that holds its first byte.
struct Split {
  std::string path;
  uint64_t file_bytes = 0;
  uint64_t begin = 0;  // bytes of the file
  uint64_t end = 0;
};

// A document on its way into the corpus, or a dropped file, line or document and the reason.
struct PreparedDocument {
  Document document;
  std::optional<DropReason> drop;
  std::string detail;      // of a drop: what was wrong, and where
  uint64_t raw_bytes = 0;  // read for it: decompressed, before rendering
  RepairBytes repairs = {};
  Fingerprint fingerprint;
};

// Cuts a file into parts of about `split_bytes`. It stays one part unless it is uncompressed plain text or
// JSONL of a source without a size limit.
std::vector<Split> SplitFile(const SourceSpec& spec, const SourceFile& file, uint64_t split_bytes);

// The reader for `path`: the specification's, or with kAuto the one that its name and `content` suggest. Only
// its content makes a file like "ls.1" a manual page.
Reader ReaderFor(const SourceSpec& spec, std::string_view path, std::string_view content);

// Everything up to deduplication, for one part of a file. Never fails: what cannot be read comes back as
// drops.
std::vector<PreparedDocument> PrepareSplit(const SourceSpec& spec, const FilterOptions& filters,
                                           const DedupOptions& dedup, const Split& split);

}  // namespace qwen25

// The curation pipeline: sources -> readers -> filters -> deduplication -> training and validation documents.
//
// The output depends on the files that are read, not on the number of threads. Memory is bounded by one batch
// of files and the hashes of what was kept (dedup.h), whatever the size of the sources.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/hash.h"
#include "base/json.h"
#include "base/status.h"
#include "base/thread_pool.h"
#include "data/dedup.h"
#include "data/filters.h"
#include "data/read/sources.h"

namespace qwen25 {

struct CurateOptions {
  std::vector<SourceSpec> sources = SystemSources();
  std::string output;                        // folder; created if it is missing
  uint64_t max_bytes = 24'000'000;           // of text; 0: everything
  uint64_t min_bytes = 10'000'000;           // of text; less is an error
  double validation_fraction = 0.02;         // of the documents, in [0, 1)
  uint64_t split_bytes = uint64_t{4} << 20;  // of a large file, per task
  FilterOptions filters;
  DedupOptions dedup;

  Status Validate() const;  // names the field, its value and the rule
};

struct Count {
  uint64_t documents = 0;
  uint64_t bytes = 0;

  void Add(uint64_t more_bytes) {
    ++documents;
    bytes += more_bytes;
  }
};

// What became of one source.
struct SourceReport {
  std::string kind, title;
  std::vector<std::string> roots;  // those that exist
  uint64_t files_found = 0, bytes_found = 0, aliases = 0, unreadable_folders = 0;
  uint64_t files_read = 0;                          // the rest was not needed for the requested size
  Count read;                                       // documents, and bytes before rendering and cleaning
  std::array<Count, kNumDropReasons> dropped = {};  // bytes as read
  std::array<Count, kNumRepairs> repaired = {};     // of the documents that were kept: bytes taken away
  Count train, validation;                          // kept; bytes of text
  std::vector<std::string> problems;                // messages about the first few damaged files
};

struct CurateReport {
  std::vector<SourceReport> sources;
  Count train, validation;
  std::string train_path, validation_path, report_path;
  double seconds = 0;  // not in curate_report.json, so that equal runs give equal files
};

struct CurateProgress {
  uint64_t bytes_kept = 0;
  uint64_t bytes_wanted = 0;  // 0: everything there is
  uint64_t documents_kept = 0;
  std::string_view source;  // title of the one being read
};
// Called between batches; false stops the run with kCancelled.
using CurateCallback = std::function<bool(const CurateProgress&)>;

// Writes documents.train.jsonl, documents.validation.jsonl (jsonl.h) and curate_report.json to
// options.output, all three or none. The source that is furthest below its share of the text gives the next
// batch. So the documents of all sources are mixed, and a small source leaves the rest of its share to the
// others.
//
// Whether a document is held out for validation depends on its own text alone: it stays in its set, whatever
// is added, removed or moved around it, in its file or in others. Deduplication comes first, so that no
// held-out paragraph that is long enough to be compared there is also trained on.
//
// kNotFound if there is no text at all, or no file of a required source; kInvalidArgument if there is less
// than options.min_bytes, or one of the sets is empty. The message says what was found and what to do.
Result<CurateReport> Curate(const CurateOptions& options, ThreadPool& pool,
                            const CurateCallback& callback = {});

// Whether the document with this hash (Fingerprint::document) is held out for validation.
bool IsValidationDocument(const Hash128& document, double validation_fraction);

// The content of curate_report.json.
Json CurateReportToJson(const CurateOptions& options, const CurateReport& report);
// A table for the terminal: what was found, read, dropped and kept, per source.
std::string FormatCurateReport(const CurateReport& report);

}  // namespace qwen25

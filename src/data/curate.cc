#include "data/curate.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <span>
#include <utility>

#include "base/file.h"
#include "base/hash.h"
#include "data/prepare.h"
#include "data/read/jsonl.h"

namespace qwen25 {
namespace {

// A batch is what one source gives before the others get their turn: small, so that shares hold in small
// corpora too, and enough work for many threads.
constexpr size_t kBatchSplits = 64;
constexpr uint64_t kBatchBytes = 256 << 10;  // on disk
constexpr size_t kMaxProblems = 5;           // named per source
constexpr uint64_t kValidationSeed = 0x76616C6964617465;

// The files of one source and how far they have been read.
struct SourceCursor {
  const SourceSpec* spec = nullptr;
  SourceListing listing;
  size_t next_file = 0;
  std::vector<Split> splits;  // of the current file, the next one last

  bool Exhausted() const { return next_file == listing.files.size() && splits.empty(); }

  std::vector<Split> NextBatch(uint64_t split_bytes) {
    std::vector<Split> batch;
    uint64_t bytes = 0;
    while (!Exhausted() && batch.size() < kBatchSplits && bytes < kBatchBytes) {
      if (splits.empty()) {
        splits = SplitFile(*spec, listing.files[next_file++], split_bytes);
        std::ranges::reverse(splits);
      }
      batch.push_back(std::move(splits.back()));
      splits.pop_back();
      bytes += batch.back().end - batch.back().begin;
    }
    return batch;
  }
};

class Curator {
 public:
  Curator(const CurateOptions& options, ThreadPool& pool, const CurateCallback& callback)
      : options_(options), pool_(pool), callback_(callback), deduplicator_(options.dedup) {}

  Result<CurateReport> Run();

 private:
  Status FindFiles();
  bool IsFull() const { return options_.max_bytes > 0 && kept_ >= options_.max_bytes; }
  bool IsFull(size_t source) const;
  size_t PickSource() const;
  Status TakeBatch(size_t source);
  void TakeDocument(size_t source, PreparedDocument& prepared);
  Status CheckAmount() const;
  std::string WhereItLooked() const;

  static uint64_t KeptBytes(const SourceReport& report) {
    return report.train.bytes + report.validation.bytes;
  }

  const CurateOptions& options_;
  ThreadPool& pool_;
  const CurateCallback& callback_;
  Deduplicator deduplicator_;
  std::vector<SourceCursor> cursors_;
  CurateReport report_;
  uint64_t kept_ = 0;                           // bytes of text
  std::string train_lines_, validation_lines_;  // of the batch, not yet written
};

Status Curator::FindFiles() {
  for (const SourceSpec& spec : options_.sources) {
    SourceCursor cursor;
    cursor.spec = &spec;
    cursor.listing = ListFiles(spec);
    if (spec.required && cursor.listing.roots.empty())
      return NotFound("{}: there is no such file or folder", spec.title);
    SourceReport source;
    source.kind = spec.kind;
    source.title = spec.title;
    source.roots = cursor.listing.roots;
    source.files_found = cursor.listing.files.size();
    source.bytes_found = cursor.listing.bytes;
    source.aliases = cursor.listing.aliases;
    source.unreadable_folders = cursor.listing.unreadable;
    report_.sources.push_back(std::move(source));
    cursors_.push_back(std::move(cursor));
  }
  return {};
}

bool Curator::IsFull(size_t source) const {
  const uint64_t limit = cursors_[source].spec->max_bytes;
  return limit > 0 && KeptBytes(report_.sources[source]) >= limit;
}

// The source that has given least of its share; cursors_.size() if all are at their end.
size_t Curator::PickSource() const {
  size_t best = cursors_.size();
  double least = 0;
  for (size_t i = 0; i < cursors_.size(); ++i) {
    if (cursors_[i].Exhausted() || IsFull(i)) continue;
    const double given = static_cast<double>(KeptBytes(report_.sources[i])) / cursors_[i].spec->share;
    if (best < cursors_.size() && given >= least) continue;
    best = i;
    least = given;
  }
  return best;
}

void Curator::TakeDocument(size_t source, PreparedDocument& prepared) {
  SourceReport& report = report_.sources[source];
  report.read.Add(prepared.raw_bytes);
  std::string& text = prepared.document.text;
  if (!prepared.drop) prepared.drop = deduplicator_.Admit(prepared.fingerprint, text, prepared.repairs);
  if (prepared.drop) {
    report.dropped[static_cast<size_t>(*prepared.drop)].Add(prepared.raw_bytes);
    if (!prepared.detail.empty() && report.problems.size() < kMaxProblems)
      report.problems.push_back(std::move(prepared.detail));
    return;
  }
  for (size_t i = 0; i < kNumRepairs; ++i)
    if (prepared.repairs[i] > 0) report.repaired[i].Add(prepared.repairs[i]);
  const bool validation = IsValidationDocument(prepared.fingerprint.document, options_.validation_fraction);
  (validation ? report.validation : report.train).Add(text.size());
  (validation ? report_.validation : report_.train).Add(text.size());
  kept_ += text.size();
  AppendJsonLine(prepared.document, validation ? validation_lines_ : train_lines_);
}

Status Curator::TakeBatch(size_t source) {
  const SourceSpec& spec = *cursors_[source].spec;
  const std::vector<Split> batch = cursors_[source].NextBatch(options_.split_bytes);
  std::vector<std::vector<PreparedDocument>> prepared(batch.size());
  pool_.ParallelFor(batch.size(), [&](size_t task, size_t) {
    prepared[task] = PrepareSplit(spec, options_.filters, options_.dedup, batch[task]);
  });
  train_lines_.clear();
  validation_lines_.clear();
  for (size_t i = 0; i < batch.size() && !IsFull() && !IsFull(source); ++i) {
    if (batch[i].begin == 0) ++report_.sources[source].files_read;
    for (PreparedDocument& document : prepared[i]) {
      if (IsFull() || IsFull(source)) break;
      TakeDocument(source, document);
    }
  }
  return {};
}

std::string Curator::WhereItLooked() const {
  std::string out;
  for (const SourceSpec& spec : options_.sources) {
    for (const std::string& root : spec.roots) {
      if (!out.empty()) out += ", ";
      out += root;
    }
  }
  return out;
}

Status Curator::CheckAmount() const {
  constexpr std::string_view kAdvice =
      "install more text (packages python3, perl, man-db, manpages, manpages-dev) or name a folder of text "
      "with --source DIR";
  if (kept_ == 0) {
    uint64_t files = 0, dropped = 0;
    std::string why;  // the first thing that was said of a file
    for (const SourceReport& source : report_.sources) {
      files += source.files_found;
      if (why.empty() && !source.problems.empty()) why = fmt::format(" ({})", source.problems[0]);
      for (const Count& count : source.dropped) dropped += count.documents;
    }
    return NotFound(
        "found no text: looked in {}; {} files there, {} of their documents not good enough{}; {}",
        WhereItLooked(), files, dropped, why, kAdvice);
  }
  if (kept_ < options_.min_bytes) {
    std::string taken;
    for (const SourceReport& source : report_.sources)
      taken += fmt::format("{}{} {} bytes", taken.empty() ? "" : ", ", source.kind, KeptBytes(source));
    return InvalidArgument("the corpus is too small: {} bytes of text, at least {} are wanted ({}); {}",
                           kept_, options_.min_bytes, taken, kAdvice);
  }
  if (options_.validation_fraction > 0 && report_.validation.documents == 0)
    return InvalidArgument(
        "none of the {} documents fell into the validation set at a fraction of {}: add documents or raise "
        "the fraction",
        report_.train.documents, options_.validation_fraction);
  if (report_.train.documents == 0)
    return InvalidArgument(
        "all {} documents fell into the validation set: add documents or lower the fraction {}",
        report_.validation.documents, options_.validation_fraction);
  return {};
}

Result<CurateReport> Curator::Run() {
  const auto start = std::chrono::steady_clock::now();
  QWEN25_RETURN_IF_ERROR(FindFiles());
  QWEN25_RETURN_IF_ERROR(CreateDirectories(options_.output));
  // The three files belong together: a second run into the folder at the same time fails.
  QWEN25_TRY(const FolderLock lock, FolderLock::Acquire(options_.output));
  report_.train_path = options_.output + "/documents.train.jsonl";
  report_.validation_path = options_.output + "/documents.validation.jsonl";
  report_.report_path = options_.output + "/curate_report.json";
  QWEN25_TRY(AtomicFile train, AtomicFile::Open(report_.train_path));
  QWEN25_TRY(AtomicFile validation, AtomicFile::Open(report_.validation_path));
  while (!IsFull()) {
    const size_t source = PickSource();
    if (source == cursors_.size()) break;
    const CurateProgress progress{kept_, options_.max_bytes,
                                  report_.train.documents + report_.validation.documents,
                                  options_.sources[source].title};
    if (callback_ && !callback_(progress)) return Cancelled("curation stopped; nothing was written");
    QWEN25_RETURN_IF_ERROR(TakeBatch(source));
    QWEN25_RETURN_IF_ERROR(train.Write(train_lines_));
    QWEN25_RETURN_IF_ERROR(validation.Write(validation_lines_));
  }
  QWEN25_RETURN_IF_ERROR(CheckAmount());
  // The report comes last: if it exists, the documents are complete.
  QWEN25_RETURN_IF_ERROR(train.Commit());
  QWEN25_RETURN_IF_ERROR(validation.Commit());
  const std::string json =
      CurateReportToJson(options_, report_).dump(2, ' ', false, Json::error_handler_t::replace);
  QWEN25_RETURN_IF_ERROR(WriteFileAtomically(report_.report_path, json + "\n"));
  report_.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return std::move(report_);
}

Json ToJson(const Count& count) {
  return {{"documents", count.documents}, {"bytes", count.bytes}};
}

template <size_t N>
Json ToJson(const std::array<Count, N>& counts, const char* (*name)(size_t)) {
  Json json = Json::object();
  for (size_t i = 0; i < N; ++i)
    if (counts[i].documents > 0) json[name(i)] = ToJson(counts[i]);
  return json;
}

}  // namespace

Status CurateOptions::Validate() const {
  if (sources.empty()) return InvalidArgument("sources is empty, need at least one");
  for (const SourceSpec& source : sources) {
    if (!(source.share > 0) || !std::isfinite(source.share))
      return InvalidArgument("the share of source {} is {}, need a positive number", source.kind,
                             source.share);
  }
  if (output.empty()) return InvalidArgument("output is empty, need the name of a folder");
  if (max_bytes > 0 && max_bytes < min_bytes)
    return InvalidArgument("max_bytes is {}, less than min_bytes {}", max_bytes, min_bytes);
  if (!(validation_fraction >= 0 && validation_fraction < 1))
    return InvalidArgument("validation_fraction is {}, need 0 or more and less than 1", validation_fraction);
  if (split_bytes < 1024) return InvalidArgument("split_bytes is {}, need at least 1024", split_bytes);
  return {};
}

bool IsValidationDocument(const Hash128& document, double validation_fraction) {
  const uint64_t hash = Hash64(std::as_bytes(std::span(&document, 1)), kValidationSeed);
  return static_cast<double>(hash >> 11) * 0x1p-53 < validation_fraction;  // the hash as a number in [0, 1)
}

Result<CurateReport> Curate(const CurateOptions& options, ThreadPool& pool, const CurateCallback& callback) {
  QWEN25_RETURN_IF_ERROR(options.Validate());
  return Curator(options, pool, callback).Run();
}

Json CurateReportToJson(const CurateOptions& options, const CurateReport& report) {
  Json json;
  json["format"] = 1;
  json["options"] = {{"max_bytes", options.max_bytes},
                     {"min_bytes", options.min_bytes},
                     {"validation_fraction", options.validation_fraction}};
  json["train"] = ToJson(report.train);
  json["validation"] = ToJson(report.validation);
  json["sources"] = Json::array();
  for (const SourceReport& source : report.sources) {
    json["sources"].push_back({
        {"kind", source.kind},
        {"title", source.title},
        {"roots", source.roots},
        {"files_found", source.files_found},
        {"bytes_found", source.bytes_found},
        {"aliases", source.aliases},
        {"unreadable_folders", source.unreadable_folders},
        {"files_read", source.files_read},
        {"read", ToJson(source.read)},
        {"dropped",
         ToJson(source.dropped, [](size_t i) { return DropReasonName(static_cast<DropReason>(i)); })},
        {"repaired", ToJson(source.repaired, [](size_t i) { return RepairName(static_cast<Repair>(i)); })},
        {"train", ToJson(source.train)},
        {"validation", ToJson(source.validation)},
        {"problems", source.problems},
    });
  }
  return json;
}

std::string FormatCurateReport(const CurateReport& report) {
  const auto megabytes = [](uint64_t bytes) { return static_cast<double>(bytes) / 1e6; };
  std::string out = fmt::format("{:<42} {:>9} {:>9} {:>8} {:>9} {:>9} {:>8}\n", "source", "files", "read",
                                "dropped", "train MB", "valid MB", "of text");
  const double total = std::max(1.0, static_cast<double>(report.train.bytes + report.validation.bytes));
  for (const SourceReport& source : report.sources) {
    uint64_t dropped = 0;
    for (const Count& count : source.dropped) dropped += count.documents;
    out += fmt::format("{:<42} {:>9} {:>9} {:>8} {:>9.2f} {:>9.2f} {:>7.1f}%\n", source.title,
                       source.files_found, source.files_read, dropped, megabytes(source.train.bytes),
                       megabytes(source.validation.bytes),
                       100.0 * static_cast<double>(source.train.bytes + source.validation.bytes) / total);
  }
  out += fmt::format("{:<42} {:>9} {:>9} {:>8} {:>9.2f} {:>9.2f} {:>7.1f}%\n", "together", "", "", "",
                     megabytes(report.train.bytes), megabytes(report.validation.bytes), 100.0);
  std::array<Count, kNumDropReasons> dropped = {};
  for (const SourceReport& source : report.sources) {
    for (size_t i = 0; i < kNumDropReasons; ++i) {
      dropped[i].documents += source.dropped[i].documents;
      dropped[i].bytes += source.dropped[i].bytes;
    }
  }
  for (size_t i = 0; i < kNumDropReasons; ++i) {
    if (dropped[i].documents == 0) continue;
    out += fmt::format("dropped as {:<31} {:>9} documents, {:.2f} MB\n",
                       DropReasonName(static_cast<DropReason>(i)), dropped[i].documents,
                       megabytes(dropped[i].bytes));
  }
  return out;
}

}  // namespace qwen25

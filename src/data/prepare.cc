#include "data/prepare.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <span>
#include <utility>

#include "base/hash.h"
#include "data/read/compression.h"
#include "data/read/info.h"
#include "data/read/jsonl.h"
#include "data/read/pod.h"
#include "data/read/roff/roff.h"
#include "data/read/text_files.h"
#include "data/read/text_kind.h"
#include "text/utf8.h"

namespace qwen25 {
namespace {

// A long plain text becomes documents of between kMinTextDocumentBytes and kMaxTextDocumentBytes, 64 KiB on
// average: enough context for any sequence, and small enough that the share held out for validation comes out
// as requested.
constexpr size_t kMinTextDocumentBytes = 32 << 10;
constexpr size_t kMaxTextDocumentBytes = 128 << 10;
constexpr double kMeanCutDistance = 32 << 10;
constexpr uint64_t kCutSeed = 0x63757420686572ull;
constexpr size_t kMaxJsonLineBytes = size_t{64} << 20;
constexpr size_t kReadAhead = 64 << 10;

// Whether the file name ends in a section of the manual: ".1", ".3x".
bool HasManualSection(std::string_view path) {
  const size_t dot = path.rfind('.');
  return dot != std::string_view::npos && dot + 1 < path.size() && path[dot + 1] >= '1' &&
         path[dot + 1] <= '9' && path.size() - dot <= 8 && path.find('/', dot) == std::string_view::npos;
}

class FileDescriptor {
 public:
  explicit FileDescriptor(const std::string& path)
      : descriptor_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY)) {}
  ~FileDescriptor() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  int get() const { return descriptor_; }

 private:
  int descriptor_;
};

// Appends bytes [offset, offset + size) of the file, fewer if it ends before.
Status AppendRange(int descriptor, const std::string& path, uint64_t offset, uint64_t size,
                   std::string& out) {
  const size_t begin = out.size();
  out.resize(begin + size);
  size_t filled = 0;
  while (filled < size) {
    const ssize_t got =
        ::pread(descriptor, out.data() + begin + filled, size - filled, static_cast<off_t>(offset + filled));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoStatus(errno, "read", path);
    if (got == 0) break;
    filled += static_cast<size_t>(got);
  }
  out.resize(begin + filled);
  return {};
}

// The lines whose first byte lies in the split.
Result<std::string> ReadLines(const Split& split) {
  const FileDescriptor file(split.path);
  if (file.get() < 0) return ErrnoStatus(errno, "open", split.path);
  std::string out;
  const uint64_t first = split.begin == 0 ? 0 : split.begin - 1;  // a line may begin right at split.begin
  QWEN25_RETURN_IF_ERROR(AppendRange(file.get(), split.path, first, split.end - first, out));
  if (split.begin > 0) {
    const size_t line_end = out.find('\n');
    if (line_end == std::string::npos) return std::string();  // inside one long line, which began earlier
    out.erase(0, line_end + 1);
    if (out.empty()) return out;
  }
  // The last line may go on beyond the split.
  uint64_t offset = split.end;
  while (offset < split.file_bytes && !out.ends_with('\n')) {
    const size_t before = out.size();
    QWEN25_RETURN_IF_ERROR(AppendRange(file.get(), split.path, offset,
                                       std::min<uint64_t>(kReadAhead, split.file_bytes - offset), out));
    offset += out.size() - before;
    if (const size_t line_end = out.find('\n', before); line_end != std::string::npos)
      out.resize(line_end + 1);
    if (out.size() == before) break;
    if (out.size() > kMaxJsonLineBytes + (split.end - split.begin))
      return ResourceExhausted("{}: a line after byte {} is longer than {} bytes", split.path, split.end,
                               kMaxJsonLineBytes);
  }
  return out;
}

PreparedDocument Dropped(const Split& split, DropReason reason, std::string detail, uint64_t bytes) {
  PreparedDocument dropped;
  dropped.document.id = RepairUtf8(split.path);
  dropped.drop = reason;
  dropped.detail = std::move(detail);
  dropped.raw_bytes = bytes;
  return dropped;
}

PreparedDocument Dropped(const Split& split, const Status& status) {
  DropReason reason = DropReason::kUnreadable;
  if (status.code() == StatusCode::kCorrupt) reason = DropReason::kBadArchive;
  if (status.code() == StatusCode::kResourceExhausted) reason = DropReason::kTooLarge;
  return Dropped(split, reason, status.message(), split.end - split.begin);
}

PreparedDocument NewDocument(const Split& split, std::string_view suffix, std::string text) {
  PreparedDocument prepared;
  prepared.document.id = RepairUtf8(split.path) + std::string(suffix);
  prepared.raw_bytes = text.size();
  prepared.document.text = std::move(text);
  return prepared;
}

std::vector<PreparedDocument> ReadJsonLines(const Split& split, std::string_view lines) {
  std::vector<PreparedDocument> documents;
  for (size_t at = 0; at < lines.size();) {
    const size_t end = std::min(lines.find('\n', at), lines.size());
    const std::string_view line = lines.substr(at, end - at);
    const std::string suffix = fmt::format("#{}", split.begin + at);
    at = end + 1;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    Result<Document> document = ParseJsonLine(line);
    if (!document.ok()) {
      documents.push_back(Dropped(split, DropReason::kBadJson,
                                  split.path + suffix + ": " + document.status().message(), line.size()));
      continue;
    }
    documents.push_back(NewDocument(split, suffix, std::move(document->text)));
    if (!document->id.empty()) documents.back().document.id += fmt::format(":{}", document->id);
  }
  return documents;
}

// Whether a text is cut after `unit`. Its hash alone decides, with a probability in proportion to its size,
// so that text added elsewhere moves no cut.
bool IsCutAfter(std::string_view unit) {
  const double chance = static_cast<double>(unit.size()) / kMeanCutDistance;
  return static_cast<double>(Hash64(std::as_bytes(std::span(unit)), kCutSeed) >> 11) * 0x1p-53 < chance;
}

// Where the document that begins at `at` ends, if units of the text end in `delimiter`: after the first unit
// past kMinTextDocumentBytes that IsCutAfter chooses, else after the last one below kMaxTextDocumentBytes.
// npos if there is neither.
size_t FindCut(std::string_view text, size_t at, std::string_view delimiter) {
  size_t last = std::string_view::npos;
  for (size_t begin = at; begin < text.size();) {
    const size_t unit_end = text.find(delimiter, begin);
    if (unit_end == std::string_view::npos || unit_end - at > kMaxTextDocumentBytes) return last;
    const size_t end = std::min(text.find_first_not_of('\n', unit_end), text.size());
    if (unit_end - at >= kMinTextDocumentBytes) {
      if (IsCutAfter(text.substr(begin, unit_end - begin))) return end;
      last = end;
    }
    begin = end;
  }
  return last;
}

// Cuts a long text into documents: at paragraph ends, at line ends if no paragraph ends soon.
std::vector<PreparedDocument> CutText(const Split& split, std::string text) {
  std::vector<PreparedDocument> documents;
  if (split.begin == 0 && split.end == split.file_bytes && text.size() <= kMaxTextDocumentBytes) {
    documents.push_back(NewDocument(split, "", std::move(text)));
    return documents;
  }
  for (size_t at = 0; at < text.size();) {
    size_t end = text.size();
    if (text.size() - at > kMaxTextDocumentBytes) {
      end = FindCut(text, at, "\n\n");
      if (end == std::string::npos) end = FindCut(text, at, "\n");
      if (end == std::string::npos) end = std::min(text.find('\n', at + kMaxTextDocumentBytes), text.size());
      end = std::min(text.find_first_not_of('\n', end), text.size());
    }
    documents.push_back(NewDocument(split, fmt::format("#{}", split.begin + at), text.substr(at, end - at)));
    at = end;
  }
  return documents;
}

// The documents of a split with their raw text; pages and POD are rendered.
std::vector<PreparedDocument> ReadSplit(const SourceSpec& spec, const FilterOptions& filters,
                                        const Split& split) {
  const uint64_t limit = spec.max_file_bytes > 0 ? spec.max_file_bytes : kMaxWholeFileBytes;
  const bool whole = split.begin == 0 && split.end == split.file_bytes;
  if (split.file_bytes > limit && whole)
    return {Dropped(split, DropReason::kTooLarge,
                    fmt::format("{}: {} bytes, the limit is {}", split.path, split.file_bytes, limit),
                    split.file_bytes)};
  Result<std::string> content = ReadLines(split);
  if (const Compression compression = CompressionOf(split.path);
      content.ok() && compression != Compression::kNone) {
    content = Decompress(compression, *content, limit, split.path);
  }
  if (!content.ok()) return {Dropped(split, content.status())};
  if (const Status is_text = CheckIsText(*content, split.path); split.begin == 0 && !is_text.ok()) {
    return {Dropped(split, DropReason::kBinary, is_text.message(), content->size())};
  }
  const size_t raw_bytes = content->size();
  const Reader reader = ReaderFor(spec, split.path, *content);
  if (reader == Reader::kJsonl) return ReadJsonLines(split, *content);
  if (reader == Reader::kInfo) return CutText(split, RenderInfo(*content));
  if (reader == Reader::kPlain && whole) {
    if (const std::optional<std::string> lines = AsJsonLines(*content)) return ReadJsonLines(split, *lines);
  }
  if (reader == Reader::kPlain) return CutText(split, std::move(*content));

  // The renderers take well-formed text.
  PreparedDocument page = NewDocument(split, "", std::move(*content));
  page.drop = DecodeText(filters, page.document.text, page.repairs);
  std::vector<PreparedDocument> documents;
  if (page.drop) {
    documents.push_back(std::move(page));
  } else if (reader == Reader::kRoff) {
    page.document.text = RenderRoff(page.document.text);
    documents.push_back(std::move(page));
  } else {
    PodAndCode parts = SplitPod(page.document.text);
    page.document.text = std::move(parts.documentation);
    page.raw_bytes = raw_bytes - std::min(raw_bytes, parts.code.size());
    const bool has_code = !parts.code.empty();
    if (!page.document.text.empty() || !has_code) documents.push_back(std::move(page));
    if (has_code) documents.push_back(NewDocument(split, "#code", std::move(parts.code)));
  }
  return documents;
}

}  // namespace

Reader ReaderFor(const SourceSpec& spec, std::string_view path, std::string_view content) {
  if (spec.reader != Reader::kAuto) return spec.reader;
  const std::string_view name = WithoutCompression(path);
  if (IsJsonLinesPath(path)) return Reader::kJsonl;
  if (name.ends_with(".pod") || name.ends_with(".pm")) return Reader::kPod;
  const bool control_line =
      content.starts_with('.') || content.starts_with("'\\\"") || content.find("\n.TH ") < 65536;
  if (name.ends_with(".info") || name.find(".info-") != std::string_view::npos) return Reader::kInfo;
  if (HasManualSection(name) && control_line) return Reader::kRoff;
  return IsJsonLinesText(content) ? Reader::kJsonl : Reader::kPlain;
}

std::vector<Split> SplitFile(const SourceSpec& spec, const SourceFile& file, uint64_t split_bytes) {
  const Reader reader = ReaderFor(spec, file.path, "");
  const bool divisible = spec.max_file_bytes == 0 && CompressionOf(file.path) == Compression::kNone &&
                         (reader == Reader::kPlain || reader == Reader::kJsonl);
  std::vector<Split> splits;
  for (uint64_t begin = 0; divisible && file.size - begin > split_bytes; begin += split_bytes)
    splits.push_back({file.path, file.size, begin, begin + split_bytes});
  const uint64_t begin = splits.empty() ? 0 : splits.back().end;
  splits.push_back({file.path, file.size, begin, file.size});
  return splits;
}

std::vector<PreparedDocument> PrepareSplit(const SourceSpec& spec, const FilterOptions& filters,
                                           const DedupOptions& dedup, const Split& split) {
  std::vector<PreparedDocument> documents = ReadSplit(spec, filters, split);
  for (PreparedDocument& prepared : documents) {
    prepared.document.source = spec.kind;
    if (prepared.drop) continue;
    std::string& text = prepared.document.text;
    prepared.drop = DecodeText(filters, text, prepared.repairs);
    if (!prepared.drop) {
      CleanText(filters, text, prepared.repairs);
      prepared.drop = JudgeText(filters, text);
    }
    if (prepared.drop) {
      text = {};
    } else {
      prepared.fingerprint = ComputeFingerprint(dedup, text);
    }
  }
  return documents;
}

}  // namespace qwen25

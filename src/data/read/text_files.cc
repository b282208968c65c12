#include "data/read/text_files.h"

#include <algorithm>
#include <utility>

#include "data/read/text_stream.h"

namespace qwen25 {

bool IsJsonLinesPath(std::string_view path) {
  const std::string_view name = WithoutCompression(path);
  return name.ends_with(".jsonl") || name.ends_with(".ndjson");
}

bool IsJsonLinesText(std::string_view text) {
  return text.starts_with('{') && ParseJsonLine(text.substr(0, text.find('\n'))).ok();
}

Result<DocumentReader> DocumentReader::Open(const std::string& path) {
  DocumentReader reader;
  if (IsJsonLinesPath(path)) {
    QWEN25_TRY(JsonlReader lines, JsonlReader::Open(path));
    reader.lines_.emplace(std::move(lines));
    return reader;
  }
  QWEN25_TRY(std::string text, ReadText(path));
  if (IsJsonLinesText(text)) {
    reader.lines_.emplace(path, std::move(text));
  } else if (std::optional<std::string> lines = AsJsonLines(text)) {
    reader.lines_.emplace(path, std::move(*lines));
  } else if (!text.empty()) {
    reader.whole_ = Document{.id = path, .source = {}, .text = std::move(text)};
  }
  return reader;
}

Result<std::optional<Document>> DocumentReader::Next() {
  if (lines_) return lines_->Next();
  return std::exchange(whole_, std::nullopt);
}

Result<std::vector<std::string>> ReadTexts(const std::string& path) {
  std::vector<std::string> texts;
  QWEN25_TRY(DocumentReader reader, DocumentReader::Open(path));
  while (true) {
    QWEN25_TRY(std::optional<Document> document, reader.Next());
    if (!document) return texts;
    texts.push_back(std::move(document->text));
  }
}

bool IsTextFile(const std::filesystem::path& path) {
  static const std::vector<std::string> kEndings = {".txt", ".md",  ".markdown", ".rst",
                                                    ".org", ".tex", ".text"};
  const std::filesystem::path name(WithoutCompression(path.native()));
  return std::ranges::find(kEndings, name.extension().string()) != kEndings.end();
}

Result<std::vector<std::filesystem::path>> TextFilesIn(const std::filesystem::path& path) {
  namespace fs = std::filesystem;
  std::vector<fs::path> files;
  std::error_code error;
  if (!fs::is_directory(path, error)) return std::vector<fs::path>{path};
  for (auto entry =
           fs::recursive_directory_iterator(path, fs::directory_options::skip_permission_denied, error);
       !error && entry != fs::recursive_directory_iterator(); entry.increment(error)) {
    std::error_code ignored;
    if (entry->is_regular_file(ignored) && IsTextFile(entry->path())) files.push_back(entry->path());
  }
  if (error) return ErrnoStatus(error.value(), "read the folder", path.string());
  std::ranges::sort(files);
  return files;
}

}  // namespace qwen25

#include "data/read/text_files.h"

#include <algorithm>

#include "base/file.h"
#include "data/read/jsonl.h"

namespace qwen25 {

Result<std::vector<std::string>> ReadTexts(const std::string& path) {
  if (!path.ends_with(".jsonl")) {
    QWEN25_TRY(std::string text, ReadFile(path));
    return std::vector<std::string>{std::move(text)};
  }
  std::vector<std::string> texts;
  QWEN25_TRY(JsonlReader reader, JsonlReader::Open(path));
  while (true) {
    QWEN25_TRY(std::optional<Document> document, reader.Next());
    if (!document) return texts;
    texts.push_back(std::move(document->text));
  }
}

bool IsTextFile(const std::filesystem::path& path) {
  static const std::vector<std::string> kEndings = {".txt", ".md",  ".markdown", ".rst",
                                                    ".org", ".tex", ".text"};
  return std::ranges::find(kEndings, path.extension().string()) != kEndings.end();
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

#include "cli/read_texts.h"

#include "base/file.h"
#include "data/jsonl.h"

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

}  // namespace qwen25

// Reads the texts that users give to commands: of one file, or of a folder.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "data/read/document.h"
#include "data/read/jsonl.h"

namespace qwen25 {

// Whether a file holds JSON lines, by its name: .jsonl or .ndjson, compressed or not.
bool IsJsonLinesPath(std::string_view path);
// Whether a text is JSON lines whatever its file is called: its first line is an object with a "text".
bool IsJsonLinesText(std::string_view text);

// The documents of a file. JSON lines are read one at a time, in memory bounded by the longest line; a JSON
// list of objects with a "text" is read as these; any other text that is not empty is one document. "-" is
// standard input. Compressed files and what is not text: text_stream.h.
class DocumentReader {
 public:
  static Result<DocumentReader> Open(const std::string& path);
  // Nothing at the end. An error names the file, and the line if it has lines.
  Result<std::optional<Document>> Next();
  bool is_json_lines() const { return lines_.has_value(); }

 private:
  DocumentReader() = default;

  std::optional<JsonlReader> lines_;
  std::optional<Document> whole_;  // not yet handed out
};

// The texts of these documents.
Result<std::vector<std::string>> ReadTexts(const std::string& path);

// The files that `path` names: itself, or the text files (.txt, .md, .rst, .org, .tex, compressed or not) of
// the folder and of those below it, sorted.
Result<std::vector<std::filesystem::path>> TextFilesIn(const std::filesystem::path& path);
bool IsTextFile(const std::filesystem::path& path);

}  // namespace qwen25

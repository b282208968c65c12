// Documents as JSON lines: {"id": ..., "source": ..., "text": ...}, one object per line.
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "data/read/document.h"

namespace qwen25 {

// Appends `document` and a new-line. The fields are well-formed UTF-8.
void AppendJsonLine(const Document& document, std::string& out);

// Reads one line. "text" has to be a string; "id" and "source" may be missing. kCorrupt with the reason, and
// without a place: the caller knows it.
Result<Document> ParseJsonLine(std::string_view line);

// Reads a file of documents one line at a time, in memory bounded by the longest line. Blank lines are
// skipped.
class JsonlReader {
 public:
  static Result<JsonlReader> Open(const std::string& path);

  // The next document, nothing at the end of the file. An error names the file and the line.
  Result<std::optional<Document>> Next();

  const std::string& path() const { return path_; }
  uint64_t line() const { return line_; }  // of the last document, from 1

 private:
  struct Closer {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  JsonlReader(std::string path, std::FILE* file) : path_(std::move(path)), file_(file) {}

  Result<bool> ReadLine();

  std::string path_;
  std::unique_ptr<std::FILE, Closer> file_;
  std::string buffer_;  // of one line, then of a block of the file
  uint64_t line_ = 0;
};

}  // namespace qwen25

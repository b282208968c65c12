// Documents as JSON lines: {"id": ..., "source": ..., "text": ...}, one object per line.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/status.h"
#include "data/read/document.h"
#include "data/read/text_stream.h"

namespace qwen25 {

// Appends `document` and a new-line. The fields are well-formed UTF-8.
void AppendJsonLine(const Document& document, std::string& out);

// Reads one line. "text" has to be a string; "id" and "source" may be missing or numbers. Anything else in
// them or in other members is ignored. A byte order mark before the line is skipped: concatenated files have
// them inside. kCorrupt gives the reason without the place, which the caller knows.
Result<Document> ParseJsonLine(std::string_view line);

// Converts a JSON document that is such an object, or a list of them, into JSON lines. Returns nothing for
// any other text.
std::optional<std::string> AsJsonLines(std::string_view text);

// Reads a file of documents one line at a time, in memory bounded by the longest line. Blank lines are
// skipped. Compressed files and what is not text: text_stream.h.
class JsonlReader {
 public:
  static Result<JsonlReader> Open(const std::string& path);
  // The lines of `text`, which `name` names in errors.
  JsonlReader(std::string name, std::string text) : name_(std::move(name)), buffer_(std::move(text)) {}

  // The next document, nothing at the end of the file. An error names the file and the line.
  Result<std::optional<Document>> Next();

  uint64_t line() const { return line_; }  // of the last document, from 1

 private:
  Result<std::optional<std::string_view>> ReadLine();

  std::string name_;
  std::optional<TextStream> stream_;  // what is not in buffer_ yet
  std::string buffer_;
  size_t at_ = 0;  // the next line in buffer_
  uint64_t line_ = 0;
};

}  // namespace qwen25

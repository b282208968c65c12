// JSON documents small enough to hold as a tree: configurations, metadata, requests. Large arrays
// (vocabularies) are read with simdjson.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"

namespace qwen25 {

using Json = nlohmann::ordered_json;  // keeps the order of keys: files stay readable and diffable

// Parses `text`; the error names `origin` (a path, "request body") and the byte where parsing failed.
Result<Json> ParseJson(std::string_view text, std::string_view origin);

// The value in one line, or indented by `indent` spaces. Bytes that are not UTF-8 are replaced.
std::string DumpJson(const Json& value, int indent = -1);

// The values of a text that has one in each line; blank lines count, but hold none. NaN, Infinity and 1e400
// are read as strings.
class JsonLines {
 public:
  // `origin` names the text in errors. Both must outlive this object.
  JsonLines(std::string_view text, std::string_view origin) : text_(text), text_origin_(origin) {}

  // The next value; nothing at the end. Errors of ParseJson, which name the line.
  Result<std::optional<Json>> Next();
  // Where the last value stands: "notes.jsonl: line 3".
  const std::string& origin() const { return origin_; }
  // Bytes of the text up to the end of the last value's line.
  size_t position() const { return position_; }

 private:
  std::string_view text_, text_origin_;
  size_t position_ = 0, line_number_ = 0;
  std::string origin_;
};

// Reads and parses the file. NaN, Infinity and 1e400 are read as strings.
Result<Json> ReadJsonFile(const std::string& path);

// Parses an object and passes on its members one by one, without holding them together: for objects with very
// many members. A key that comes twice is passed on twice. A document that is not an object is kCorrupt; an
// error of `visit` ends it.
Status ForEachMember(std::string_view text, std::string_view origin,
                     const std::function<Status(const std::string& key, const Json& value)>& visit);

// Returns the text with the numbers that Python's JSON has and the standard does not (NaN, Infinity, numbers
// beyond float64) as strings that begin with `mark`. Readers that do not need these members can then go on.
std::string WithQuotedNumbers(std::string_view text, std::string_view mark = {});

// Sets `out` to object[key]. If the key is absent or null, leaves `out` as it is and returns OK.
// kInvalidArgument, naming `origin`, the key and what was found, for a value of another type and for a number
// out of range.
Status ReadField(const Json& object, const char* key, std::string_view origin, bool& out);
Status ReadField(const Json& object, const char* key, std::string_view origin, uint32_t& out);
Status ReadField(const Json& object, const char* key, std::string_view origin, uint64_t& out);
Status ReadField(const Json& object, const char* key, std::string_view origin, int64_t& out);
Status ReadField(const Json& object, const char* key, std::string_view origin, float& out);
Status ReadField(const Json& object, const char* key, std::string_view origin, double& out);
Status ReadField(const Json& object, const char* key, std::string_view origin, std::string& out);

}  // namespace qwen25

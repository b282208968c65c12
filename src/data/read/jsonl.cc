#include "data/read/jsonl.h"

#include <simdjson.h>
#include <stdlib.h>

#include <cerrno>
#include <utility>

namespace qwen25 {
namespace {

constexpr size_t kMaxLineBytes = size_t{256} << 20;

void AppendJsonString(std::string_view text, std::string& out) {
  constexpr char kHex[] = "0123456789abcdef";
  out += '"';
  for (const char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\t':
        out += "\\t";
        break;
      case '\r':
        out += "\\r";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          out += "\\u00";
          out += kHex[static_cast<unsigned char>(c) >> 4];
          out += kHex[c & 0xF];
        } else {
          out += c;
        }
    }
  }
  out += '"';
}

// Sets `out` to the string under `key`; a missing key leaves it alone.
Status ReadString(simdjson::dom::object object, const char* key, bool required, std::string& out) {
  simdjson::dom::element element;
  if (object[key].get(element) != simdjson::SUCCESS) {
    if (required) return Corrupt("the object has no \"{}\"", key);
    return {};
  }
  std::string_view value;
  if (element.get(value) != simdjson::SUCCESS) return Corrupt("\"{}\" is no string", key);
  out = value;
  return {};
}

}  // namespace

void AppendJsonLine(const Document& document, std::string& out) {
  out += "{\"id\":";
  AppendJsonString(document.id, out);
  out += ",\"source\":";
  AppendJsonString(document.source, out);
  out += ",\"text\":";
  AppendJsonString(document.text, out);
  out += "}\n";
}

Result<Document> ParseJsonLine(std::string_view line) {
  thread_local simdjson::dom::parser parser;
  simdjson::dom::element element;
  if (const auto error = parser.parse(line.data(), line.size()).get(element); error != simdjson::SUCCESS)
    return Corrupt("not valid JSON: {}", simdjson::error_message(error));
  simdjson::dom::object object;
  if (element.get(object) != simdjson::SUCCESS) return Corrupt("expected a JSON object with a \"text\"");
  Document document;
  QWEN25_RETURN_IF_ERROR(ReadString(object, "text", /*required=*/true, document.text));
  QWEN25_RETURN_IF_ERROR(ReadString(object, "id", /*required=*/false, document.id));
  QWEN25_RETURN_IF_ERROR(ReadString(object, "source", /*required=*/false, document.source));
  return document;
}

Result<JsonlReader> JsonlReader::Open(const std::string& path) {
  std::FILE* file = std::fopen(path.c_str(), "rbe");
  if (file == nullptr) return ErrnoStatus(errno, "open", path);
  return JsonlReader(path, file);
}

// Reads the next line into buffer_, without its new-line; false at the end of the file.
Result<bool> JsonlReader::ReadLine() {
  buffer_.clear();
  char block[1 << 16];
  while (std::fgets(block, sizeof block, file_.get()) != nullptr) {
    // A line of documents holds no NUL byte (JSON escapes them), so the block ends at the first.
    buffer_ += block;
    if (buffer_.ends_with('\n')) {
      buffer_.pop_back();
      return true;
    }
    if (buffer_.size() > kMaxLineBytes)
      return ResourceExhausted("{} line {}: longer than {} bytes", path_, line_ + 1, kMaxLineBytes);
  }
  if (std::ferror(file_.get())) return ErrnoStatus(errno, "read", path_);
  return !buffer_.empty();
}

Result<std::optional<Document>> JsonlReader::Next() {
  for (;;) {
    QWEN25_TRY(const bool more, ReadLine());
    if (!more) return std::optional<Document>();
    ++line_;
    if (buffer_.find_first_not_of(" \t\r") == std::string::npos) continue;
    Result<Document> document = ParseJsonLine(buffer_);
    if (!document.ok())
      return Status(document.status().code(),
                    fmt::format("{} line {}: {}", path_, line_, document.status().message()));
    return std::optional<Document>(std::move(document).value());
  }
}

}  // namespace qwen25

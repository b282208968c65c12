#include "data/read/jsonl.h"

#include <simdjson.h>

#include <utility>

#include "base/json.h"
#include "text/utf8.h"

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

// A name as writers give it: a text or a number. Anything else names nothing.
std::string NameOf(simdjson::dom::element value) {
  std::string_view text;
  if (value.get(text) == simdjson::SUCCESS) return std::string(text);
  return value.is_number() ? simdjson::minify(value) : std::string();
}

// Of a member that comes twice the last one counts, as for other programs.
Result<Document> DocumentOf(simdjson::dom::object object) {
  Document document;
  bool has_text = false;
  for (const auto [key, value] : object) {
    if (key == "text") {
      std::string_view text;
      has_text = true;
      if (value.get(text) != simdjson::SUCCESS) {
        return Corrupt("\"text\" is not a string but {}", simdjson::minify(value).substr(0, 40));
      }
      document.text = text;
    } else if (key == "id") {
      document.id = NameOf(value);
    } else if (key == "source") {
      document.source = NameOf(value);
    }
  }
  if (!has_text) return Corrupt("the object has no \"text\"");
  return document;
}

bool HoldsText(simdjson::dom::element value) {
  simdjson::dom::object object;
  std::string_view text;
  return value.get(object) == simdjson::SUCCESS && object["text"].get(text) == simdjson::SUCCESS;
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
  if (line.starts_with(kUtf8ByteOrderMark)) line.remove_prefix(kUtf8ByteOrderMark.size());
  thread_local simdjson::dom::parser parser;
  simdjson::dom::element element;
  auto error = parser.parse(line.data(), line.size()).get(element);
  if (error != simdjson::SUCCESS) {
    const std::string quoted = WithQuotedNumbers(line);
    if (quoted.size() != line.size()) error = parser.parse(quoted).get(element);
  }
  if (error != simdjson::SUCCESS) return Corrupt("not valid JSON: {}", simdjson::error_message(error));
  simdjson::dom::object object;
  if (element.get(object) != simdjson::SUCCESS) return Corrupt("expected a JSON object with a \"text\"");
  return DocumentOf(object);
}

std::optional<std::string> AsJsonLines(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos || (text[first] != '[' && text[first] != '{')) return std::nullopt;
  simdjson::dom::parser parser;
  simdjson::dom::element document;
  if (parser.parse(text.data(), text.size()).get(document) != simdjson::SUCCESS) return std::nullopt;
  if (HoldsText(document)) return simdjson::minify(document) + "\n";
  simdjson::dom::array list;
  if (document.get(list) != simdjson::SUCCESS || list.size() == 0 || !HoldsText(list.at(0)))
    return std::nullopt;
  std::string lines;
  for (const simdjson::dom::element item : list) lines += simdjson::minify(item) + "\n";
  return lines;
}

Result<JsonlReader> JsonlReader::Open(const std::string& path) {
  QWEN25_TRY(TextStream stream, TextStream::Open(path));
  JsonlReader reader(stream.name(), "");
  reader.stream_.emplace(std::move(stream));
  return reader;
}

// The next line without its new-line, in buffer_ until the next call; nothing at the end of the file.
Result<std::optional<std::string_view>> JsonlReader::ReadLine() {
  size_t searched = at_;
  while (true) {
    const size_t end = buffer_.find('\n', searched);
    if (end != std::string::npos) {
      const std::string_view line = std::string_view(buffer_).substr(at_, end - at_);
      at_ = end + 1;
      return std::optional(line);
    }
    if (buffer_.size() - at_ > kMaxLineBytes) {
      return ResourceExhausted("{} line {}: longer than {} bytes", name_, line_ + 1, kMaxLineBytes);
    }
    buffer_.erase(0, std::exchange(at_, 0));
    searched = buffer_.size();
    bool more = false;
    if (stream_) {
      QWEN25_TRY(more, stream_->Read(buffer_));
    }
    if (more) continue;
    if (buffer_.size() > searched) continue;  // the last piece
    stream_.reset();
    if (buffer_.empty()) return std::optional<std::string_view>();
    at_ = buffer_.size();
    return std::optional(std::string_view(buffer_));
  }
}

Result<std::optional<Document>> JsonlReader::Next() {
  for (;;) {
    QWEN25_TRY(const std::optional<std::string_view> line, ReadLine());
    if (!line) return std::optional<Document>();
    ++line_;
    if (line->find_first_not_of(" \t\r") == std::string_view::npos) continue;
    Result<Document> document = ParseJsonLine(*line);
    if (!document.ok()) {
      return Status(document.status().code(),
                    fmt::format("{} line {}: {}", name_, line_, document.status().message()));
    }
    return std::optional<Document>(std::move(document).value());
  }
}

}  // namespace qwen25

#include "base/json.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "base/file.h"

namespace qwen25 {
namespace {

// Nesting deeper than this is refused: nlohmann's destructor and our walkers recurse.
constexpr int kMaxDepth = 64;

Status WrongType(const Json& value, const char* key, std::string_view origin, std::string_view wanted) {
  std::string found = DumpJson(value);
  if (found.size() > 60) found = found.substr(0, 57) + "...";
  return InvalidArgument("{}: \"{}\" is {}, expected {}", origin, key, found, wanted);
}

// The value of `key`, or null when it is absent or null.
const Json* Find(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

template <typename Integer>
Status ReadInteger(const Json& object, const char* key, std::string_view origin, Integer& out) {
  const Json* value = Find(object, key);
  if (value == nullptr) return {};
  const std::string wanted = fmt::format("an integer from {} to {}", std::numeric_limits<Integer>::min(),
                                         std::numeric_limits<Integer>::max());
  // A number that the parser read is unsigned unless it is negative; one that code put there may be signed.
  if (value->is_number_unsigned() || (value->is_number_integer() && value->template get<int64_t>() >= 0)) {
    const auto number = value->template get<uint64_t>();
    if (number > static_cast<uint64_t>(std::numeric_limits<Integer>::max())) {
      return WrongType(*value, key, origin, wanted);
    }
    out = static_cast<Integer>(number);
    return {};
  }
  if (value->is_number_integer() && std::numeric_limits<Integer>::is_signed) {
    out = static_cast<Integer>(value->template get<int64_t>());
    return {};
  }
  return WrongType(*value, key, origin, wanted);
}

template <typename Float>
Status ReadFloat(const Json& object, const char* key, std::string_view origin, Float& out) {
  const Json* value = Find(object, key);
  if (value == nullptr) return {};
  if (!value->is_number()) return WrongType(*value, key, origin, "a number");
  out = static_cast<Float>(value->get<double>());
  return {};
}

}  // namespace

Result<Json> ParseJson(std::string_view text, std::string_view origin) {
  bool too_deep = false;
  const Json::parser_callback_t limit_depth = [&](int depth, Json::parse_event_t, Json&) {
    too_deep = too_deep || depth > kMaxDepth;
    return !too_deep;
  };
  try {
    Json document = Json::parse(text, limit_depth);
    if (too_deep) return InvalidArgument("{}: JSON is nested deeper than {} levels", origin, kMaxDepth);
    return document;
  } catch (const nlohmann::json::exception& error) {
    return InvalidArgument("{}: not valid JSON: {}", origin, error.what());
  }
}

std::string DumpJson(const Json& value, int indent) {
  return value.dump(indent, ' ', false, Json::error_handler_t::replace);
}

namespace {

// ParseJson, which reads the numbers that only Python's JSON has as strings.
Result<Json> ParsePythonsJson(std::string_view text, std::string_view origin) {
  Result<Json> document = ParseJson(text, origin);
  if (document.ok()) return document;
  Result<Json> quoted = ParseJson(WithQuotedNumbers(text), origin);
  return quoted.ok() ? std::move(quoted) : std::move(document);
}

}  // namespace

Result<std::optional<Json>> JsonLines::Next() {
  while (position_ < text_.size()) {
    const size_t end = std::min(text_.find('\n', position_), text_.size());
    const std::string_view line = text_.substr(position_, end - position_);
    position_ = std::min(end + 1, text_.size());
    ++line_number_;
    if (line.find_first_not_of(" \t\r") == line.npos) continue;
    origin_ = fmt::format("{}: line {}", text_origin_, line_number_);
    QWEN25_TRY(Json value, ParsePythonsJson(line, origin_));
    return std::optional(std::move(value));
  }
  return std::optional<Json>();
}

Status ForEachMember(std::string_view text, std::string_view origin,
                     const std::function<Status(const std::string& key, const Json& value)>& visit) {
  using Event = Json::parse_event_t;
  Status status;
  bool is_object = false;
  std::string key;
  // False drops a value: members are dropped once they were visited, and everything after an error.
  const Json::parser_callback_t on_event = [&](int depth, Event event, Json& value) {
    if (!status.ok()) return false;
    if (depth > kMaxDepth) {
      status = InvalidArgument("{}: JSON is nested deeper than {} levels", origin, kMaxDepth);
    } else if (depth == 0) {
      is_object = is_object || event == Event::object_start;
    } else if (depth == 1 && event == Event::key) {
      key = value.get<std::string>();
    } else if (depth == 1 && is_object &&
               (event == Event::value || event == Event::object_end || event == Event::array_end)) {
      status = visit(key, value);
      return false;
    }
    return status.ok();
  };
  try {
    const Json rest = Json::parse(text, on_event);  // an object without members: all were dropped
  } catch (const nlohmann::json::exception& error) {
    return InvalidArgument("{}: not valid JSON: {}", origin, error.what());
  }
  if (status.ok() && !is_object) return Corrupt("{}: expected a JSON object", origin);
  return status;
}

std::string WithQuotedNumbers(std::string_view text, std::string_view mark) {
  constexpr std::string_view kNames[] = {"NaN", "Infinity", "-Infinity"};
  std::string out;
  for (size_t i = 0; i < text.size();) {
    size_t end = i + 1;
    bool is_foreign = false;
    if (text[i] == '"') {  // a string, with its escapes
      while (end < text.size() && text[end] != '"') end += text[end] == '\\' ? 2 : 1;
      end = std::min(end + 1, text.size());
    } else if (const auto* name = std::ranges::find_if(
                   kNames, [&](std::string_view n) { return text.substr(i).starts_with(n); });
               name != std::end(kNames)) {
      end = i + name->size();
      is_foreign = true;
    } else if (text[i] == '-' || (text[i] >= '0' && text[i] <= '9')) {
      end = std::min(text.find_first_not_of("0123456789.eE+-", end), text.size());
      const std::string number(text.substr(i, end - i));
      is_foreign = std::isinf(std::strtod(number.c_str(), nullptr));
    }
    if (is_foreign) {
      out += fmt::format("\"{}{}\"", mark, text.substr(i, end - i));
    } else {
      out += text.substr(i, end - i);
    }
    i = end;
  }
  return out;
}

Result<Json> ReadJsonFile(const std::string& path) {
  QWEN25_TRY(const std::string text, ReadFile(path));
  if (IsGitLfsPointer(text)) return Corrupt("{}: {}", path, kGitLfsPointer);
  return ParsePythonsJson(text, path);
}

Status ReadField(const Json& object, const char* key, std::string_view origin, bool& out) {
  const Json* value = Find(object, key);
  if (value == nullptr) return {};
  if (!value->is_boolean()) return WrongType(*value, key, origin, "true or false");
  out = value->get<bool>();
  return {};
}
Status ReadField(const Json& object, const char* key, std::string_view origin, uint32_t& out) {
  return ReadInteger(object, key, origin, out);
}
Status ReadField(const Json& object, const char* key, std::string_view origin, uint64_t& out) {
  return ReadInteger(object, key, origin, out);
}
Status ReadField(const Json& object, const char* key, std::string_view origin, int64_t& out) {
  return ReadInteger(object, key, origin, out);
}
Status ReadField(const Json& object, const char* key, std::string_view origin, float& out) {
  return ReadFloat(object, key, origin, out);
}
Status ReadField(const Json& object, const char* key, std::string_view origin, double& out) {
  return ReadFloat(object, key, origin, out);
}
Status ReadField(const Json& object, const char* key, std::string_view origin, std::string& out) {
  const Json* value = Find(object, key);
  if (value == nullptr) return {};
  if (!value->is_string()) return WrongType(*value, key, origin, "a string");
  out = value->get<std::string>();
  return {};
}

}  // namespace qwen25

#include "serve/api/object_reader.h"

#include <algorithm>

#include "text/python_json.h"

namespace qwen25 {
namespace {

bool IsOfKind(const Json& value, ObjectReader::Kind kind) {
  switch (kind) {
    case ObjectReader::Kind::kText:
      return value.is_string();
    case ObjectReader::Kind::kBool:
      return value.is_boolean();
    case ObjectReader::Kind::kNumber:
      return value.is_number();
    case ObjectReader::Kind::kArray:
      return value.is_array();
    case ObjectReader::Kind::kObject:
      return value.is_object();
    case ObjectReader::Kind::kAnything:
      return true;
  }
  return false;
}

std::string_view NameOfKind(ObjectReader::Kind kind) {
  switch (kind) {
    case ObjectReader::Kind::kText:
      return "a string";
    case ObjectReader::Kind::kBool:
      return "true or false";
    case ObjectReader::Kind::kNumber:
      return "a number";
    case ObjectReader::Kind::kArray:
      return "an array";
    case ObjectReader::Kind::kObject:
      return "an object";
    case ObjectReader::Kind::kAnything:
      return "anything";
  }
  return "";
}

}  // namespace

std::string DescribeJson(const Json& value) {
  if (value.is_string())
    return fmt::format("a string of {} bytes", value.get_ref<const std::string&>().size());
  if (value.is_array()) return fmt::format("an array of {} values", value.size());
  if (value.is_object()) return "an object";
  return ShownJson(value);
}

ObjectReader::ObjectReader(const Json& object, std::string path, ErrorSlot& error)
    : object_(object), path_(std::move(path)), error_(error) {
  if (ok() && !object_.is_object()) {
    error_ = InvalidRequest(path_, fmt::format("{} is {}, expected an object.",
                                               path_.empty() ? "The body" : path_, DescribeJson(object_)));
  }
}

const Json* ObjectReader::Find(std::string_view key) {
  if (!ok()) return nullptr;
  known_.push_back(key);
  const auto found = object_.find(key);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

std::string ObjectReader::PathOf(std::string_view key) const {
  return path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key);
}

void ObjectReader::Refuse(std::string_view key, std::string_view wanted) {
  if (!ok()) return;
  const auto found = object_.find(key);
  const std::string value = found == object_.end() ? "missing" : DescribeJson(*found);
  Fail(key, fmt::format("{} is {}, expected {}.", PathOf(key), value, wanted));
}

void ObjectReader::Fail(std::string_view key, std::string message) {
  if (ok()) error_ = InvalidRequest(PathOf(key), std::move(message));
}

void ObjectReader::Read(std::string_view key, bool& out) {
  const Json* value = Find(key);
  if (value == nullptr) return;
  if (!value->is_boolean()) return Refuse(key, "true or false");
  out = value->get<bool>();
}

const std::string* ObjectReader::Text(std::string_view key, size_t min_bytes, size_t max_bytes) {
  const Json* value = Find(key);
  if (value == nullptr) return nullptr;
  const std::string* text = value->is_string() ? &value->get_ref<const std::string&>() : nullptr;
  if (text != nullptr && text->size() >= min_bytes && text->size() <= max_bytes) return text;
  Refuse(key, max_bytes == kAnyLength && min_bytes == 0 ? std::string("a string")
              : max_bytes == kAnyLength ? fmt::format("a string of at least {} bytes", min_bytes)
                                        : fmt::format("a string of {} to {} bytes", min_bytes, max_bytes));
  return nullptr;
}

void ObjectReader::Read(std::string_view key, std::string& out, size_t min_bytes, size_t max_bytes) {
  if (const std::string* text = Text(key, min_bytes, max_bytes)) out = *text;
}

void ObjectReader::Read(std::string_view key, std::optional<std::string>& out, size_t min_bytes,
                        size_t max_bytes) {
  if (const std::string* text = Text(key, min_bytes, max_bytes)) out = *text;
}

void ObjectReader::Read(std::string_view key, double low, double high, std::optional<double>& out) {
  const Json* value = Find(key);
  if (value == nullptr) return;
  const double number = value->is_number() ? value->get<double>() : 0;
  if (!value->is_number() || !(number >= low && number <= high)) {
    return Refuse(key, fmt::format("a number from {} to {}", low, high));
  }
  out = number;
}

std::optional<int64_t> ObjectReader::Integer(std::string_view key, int64_t low, int64_t high) {
  const Json* value = Find(key);
  if (value == nullptr) return std::nullopt;
  // The parser gives unsigned numbers from 0 on, which may be beyond int64.
  const bool fits = value->is_number_integer() &&
                    (!value->is_number_unsigned() || value->get<uint64_t>() <= uint64_t{INT64_MAX});
  const int64_t number = fits ? value->get<int64_t>() : 0;
  if (fits && number >= low && number <= high) return number;
  Refuse(key, fmt::format("an integer from {} to {}", low, high));
  return std::nullopt;
}

void ObjectReader::Read(std::string_view key, int64_t low, int64_t high, std::optional<int64_t>& out) {
  if (const std::optional<int64_t> number = Integer(key, low, high)) out = number;
}

void ObjectReader::Read(std::string_view key, int64_t low, int64_t high, int64_t& out) {
  if (const std::optional<int64_t> number = Integer(key, low, high)) out = *number;
}

void ObjectReader::Read(std::string_view key, std::initializer_list<std::string_view> words,
                        std::string& out) {
  const Json* value = Find(key);
  if (value == nullptr) return;
  if (!value->is_string() || std::ranges::find(words, value->get<std::string>()) == words.end()) {
    constexpr size_t kLongestShown = 40;
    const bool is_shown = value->is_string() && value->get_ref<const std::string&>().size() <= kLongestShown;
    return Fail(key,
                fmt::format("{} is {}, expected one of {}.", PathOf(key),
                            is_shown ? ShownJson(*value) : DescribeJson(*value), fmt::join(words, ", ")));
  }
  out = value->get<std::string>();
}

void ObjectReader::Ignore(Kind kind, std::initializer_list<std::string_view> keys,
                          std::vector<std::string>* ignored) {
  for (const std::string_view key : keys) {
    const Json* value = Find(key);
    if (value == nullptr) continue;
    if (!IsOfKind(*value, kind)) return Refuse(key, NameOfKind(kind));
    if (ignored != nullptr) ignored->push_back(PathOf(key));
  }
}

void ObjectReader::Unsupported(
    std::initializer_list<std::pair<std::string_view, std::string_view>> keys_and_advice) {
  for (const auto& [key, advice] : keys_and_advice) {
    if (Find(key) != nullptr) Fail(key, fmt::format("{} is not supported: {}.", PathOf(key), advice));
  }
}

void ObjectReader::Finish() {
  if (!ok()) return;
  for (const auto& member : object_.items()) {
    if (std::ranges::find(known_, member.key()) != known_.end()) continue;
    constexpr size_t kLongestShown = 60;  // bytes of a key
    const std::string key = member.key().substr(0, kLongestShown);
    return Fail(key, fmt::format("{} is not a field that this server knows; leave it out.", PathOf(key)));
  }
}

void ReadModel(ObjectReader& body, std::string& out) {
  constexpr size_t kMaxModelBytes = 256;
  body.Read("model", out, 0, kMaxModelBytes);
}

}  // namespace qwen25

#include "serve/api/request_json.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "serve/api/object_reader.h"
#include "text/python_json.h"
#include "text/utf8.h"

namespace qwen25 {
namespace {

// Builds the tree and stops at the first value that breaks a limit. Members are appended without a look at
// those before, so that the time is linear; repeated keys are found when an object ends.
class LimitedReader : public nlohmann::json_sax<Json> {
 public:
  explicit LimitedReader(const RequestBodyLimits& limits) : limits_(limits) {}

  bool null() override { return Put(nullptr); }
  bool boolean(bool value) override { return Put(value); }
  bool number_integer(number_integer_t value) override { return Put(value); }
  bool number_unsigned(number_unsigned_t value) override { return Put(value); }
  bool number_float(number_float_t value, const string_t& text) override {
    const bool is_integer = text.find_first_of(".eE") == std::string::npos;
    return Put(is_integer ? BigInteger(text) : Json(value));
  }
  bool string(string_t& value) override { return Put(std::move(value)); }
  bool binary(binary_t& value) override { return Put(Json(std::move(value))); }
  bool start_object(size_t) override { return Open(Json::object()); }
  bool key(string_t& value) override {
    if (open_.back()->size() >= limits_.members) {
      return Fail(fmt::format("an object has more than {} members", limits_.members));
    }
    key_ = std::move(value);
    return true;
  }
  bool end_object() override {
    const std::string* repeated = RepeatedKey(*open_.back());
    if (repeated != nullptr) return Fail(fmt::format("the key {} comes twice", ShownJson(*repeated)));
    open_.pop_back();
    return true;
  }
  bool start_array(size_t) override { return Open(Json::array()); }
  bool end_array() override {
    open_.pop_back();
    return true;
  }
  // nlohmann's own message would quote the text, which may be a prompt.
  bool parse_error(size_t position, const std::string&, const nlohmann::json::exception& error) override {
    constexpr int kNumberOutOfRange = 406;  // nlohmann's id
    return Fail(error.id == kNumberOutOfRange
                    ? fmt::format("the number at byte {} is beyond the range of float64", position)
                    : fmt::format("it is not valid JSON at byte {}", position));
  }

  Json document;
  std::string error;  // the reason why reading stopped

 private:
  bool Fail(std::string reason) {
    error = std::move(reason);
    return false;
  }

  // A key that stands twice in the object, or null.
  static const std::string* RepeatedKey(const Json& object) {
    std::vector<const std::string*> keys;
    for (const auto& member : object.get_ref<const Json::object_t&>()) keys.push_back(&member.first);
    std::ranges::sort(keys, {}, [](const std::string* key) -> const std::string& { return *key; });
    const auto same = std::ranges::adjacent_find(keys, {}, [](const std::string* key) { return *key; });
    return same == keys.end() ? nullptr : *same;
  }

  bool Put(Json value) { return Add(std::move(value)) != nullptr; }
  // Pointers to what is open stay valid: only the innermost is added to.
  bool Open(Json value) {
    if (open_.size() >= limits_.depth) {
      return Fail(fmt::format("it is nested deeper than {} levels", limits_.depth));
    }
    Json* added = Add(std::move(value));
    if (added == nullptr) return false;
    open_.push_back(added);
    return true;
  }
  Json* Add(Json value) {
    if (++num_values_ > limits_.values) {
      Fail(fmt::format("it holds more than {} values", limits_.values));
      return nullptr;
    }
    if (open_.empty()) {
      document = std::move(value);
      return &document;
    }
    Json& parent = *open_.back();
    if (parent.is_array()) return &parent.emplace_back(std::move(value));
    auto& members = parent.get_ref<Json::object_t&>();
    // The vector's own emplace_back: ordered_map's emplace would search for the key first.
    members.emplace_back(std::move(key_), std::move(value));
    return &members.back().second;
  }

  const RequestBodyLimits& limits_;
  std::vector<Json*> open_;
  std::string key_;
  size_t num_values_ = 0;
};

ApiResult<Json> ParseLimited(std::string_view text, const std::string& param, std::string_view what,
                             const RequestBodyLimits& limits) {
  if (text.size() > limits.bytes) {
    ApiError error = InvalidRequest(
        param, fmt::format("{} has {} bytes, at most {} are accepted.", what, text.size(), limits.bytes));
    error.status = 413;
    return error;
  }
  if (!IsValidUtf8(text)) return InvalidRequest(param, fmt::format("{} is not UTF-8.", what));
  LimitedReader reader(limits);
  if (Json::sax_parse(text, &reader)) return std::move(reader.document);
  return InvalidRequest(param, fmt::format("{} cannot be read: {}.", what, reader.error));
}

}  // namespace

ApiResult<Json> ParseRequestJson(std::string_view body, const RequestBodyLimits& limits) {
  ApiResult<Json> document = ParseLimited(body, "", "The body of the request", limits);
  if (document.ok() && !document->is_object()) {
    return InvalidRequest(
        "", fmt::format("The body of the request is {}, expected a JSON object.", DescribeJson(*document)));
  }
  return document;
}

ApiResult<Json> ParseEmbeddedJson(std::string_view text, const std::string& param,
                                  const RequestBodyLimits& limits) {
  return ParseLimited(text, param, fmt::format("The JSON in {}", param), limits);
}

}  // namespace qwen25

#include "serve/api/prompt_input.h"

#include <algorithm>
#include <utility>

namespace qwen25 {
namespace {

constexpr size_t kMaxPrompts = 2048;
constexpr std::string_view kWanted =
    "a string, an array of strings, an array of token ids or an array of arrays of token ids";

bool IsTokenId(const Json& value) {
  return value.is_number_unsigned() && value.get<uint64_t>() <= uint64_t{INT32_MAX};
}

// `path` is where the array stands in the body.
bool AppendTokens(ObjectReader& body, const Json& array, const std::string& path, std::vector<int32_t>& out) {
  out.reserve(array.size());
  for (size_t i = 0; i < array.size(); ++i) {
    if (!IsTokenId(array[i])) {
      const std::string place = fmt::format("{}[{}]", path, i);
      body.Fail(place, fmt::format("{} is {}, expected a token id, from 0 to {}.", place,
                                   DescribeJson(array[i]), INT32_MAX));
      return false;
    }
    out.push_back(array[i].get<int32_t>());
  }
  return true;
}

void AppendText(ObjectReader& body, const Json& text, const std::string& path, bool may_be_empty,
                std::vector<PromptInput>& out) {
  if (!may_be_empty && text == "") return body.Fail(path, fmt::format("{} is an empty string.", path));
  out.emplace_back(text.get<std::string>());
}

}  // namespace

void ReadPrompts(ObjectReader& body, std::string_view key, bool may_be_empty, std::vector<PromptInput>& out) {
  const Json* value = body.Find(key);
  if (!body.ok()) return;
  const std::string path(key);
  if (value != nullptr && value->is_string()) return AppendText(body, *value, path, may_be_empty, out);
  if (value == nullptr || !value->is_array() || value->empty()) {
    return body.Refuse(key, fmt::format("{}, none of them empty", kWanted));
  }
  const Json& array = *value;
  if (array[0].is_number()) {
    std::vector<int32_t> tokens;
    if (AppendTokens(body, array, path, tokens)) out.emplace_back(std::move(tokens));
    return;
  }
  if (array.size() > kMaxPrompts) {
    return body.Fail(
        key, fmt::format("{} has {} entries, at most {} are accepted.", key, array.size(), kMaxPrompts));
  }
  for (size_t i = 0; i < array.size() && body.ok(); ++i) {
    const std::string place = fmt::format("{}[{}]", key, i);
    if (array[i].type() != array[0].type() || (!array[i].is_string() && !array[i].is_array())) {
      return body.Fail(place,
                       fmt::format("{} is {}; {} must be {}.", place, DescribeJson(array[i]), key, kWanted));
    }
    if (array[i].is_string()) {
      AppendText(body, array[i], place, may_be_empty, out);
      continue;
    }
    std::vector<int32_t> tokens;
    if (array[i].empty()) return body.Fail(place, fmt::format("{} is an empty array.", place));
    if (AppendTokens(body, array[i], place, tokens)) out.emplace_back(std::move(tokens));
  }
}

void ReadTokens(ObjectReader& body, std::string_view key, std::vector<int32_t>& out) {
  const Json* value = body.Find(key);
  if (!body.ok()) return;
  if (value == nullptr || !value->is_array()) return body.Refuse(key, "an array of token ids");
  AppendTokens(body, *value, std::string(key), out);
}

}  // namespace qwen25

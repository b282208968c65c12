#include "serve/api/token_logprobs.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "text/utf8.h"

namespace qwen25 {
namespace {

double ShownLogprob(float logprob) {
  constexpr double kNegligible = -9999.0;  // OpenAI's number for it; JSON has no infinity
  return logprob > kNegligible ? static_cast<double>(logprob) : kNegligible;
}

Json ChatToken(std::string_view bytes, float logprob) {
  Json numbers = Json::array();
  for (const char byte : bytes) numbers.push_back(static_cast<unsigned char>(byte));
  return {{"token", TokenName(bytes)}, {"logprob", ShownLogprob(logprob)}, {"bytes", std::move(numbers)}};
}

// The object of a token's alternatives.
Json AlternativesJson(const TokenLogprob& token) {
  Json names = Json::object();
  std::vector<int32_t> ids;
  const auto add = [&](int32_t id, const std::string& bytes, float logprob) {
    if (std::ranges::find(ids, id) != ids.end()) return;
    ids.push_back(id);
    std::string name = TokenName(bytes);
    if (names.contains(name)) name = fmt::format("token_id:{}", id);
    names[std::move(name)] = ShownLogprob(logprob);
  };
  // The token itself first, so that it has the name by which "tokens" calls it.
  add(token.id, token.bytes, *token.logprob);
  for (const TokenAlternative& other : token.top) add(other.id, other.bytes, other.logprob);
  return names;
}

// How many characters readers see: one for each ill-formed part, as RepairUtf8 gives.
size_t CountCharacters(std::string_view text) {
  size_t count = 0;
  for (const char* p = text.data(); p < text.data() + text.size(); ++count) {
    p += DecodeCodePoint(p, text.data() + text.size()).bytes;
  }
  return count;
}

}  // namespace

std::string TokenName(std::string_view bytes) {
  if (IsValidUtf8(bytes)) return std::string(bytes);
  std::string name = "bytes:";
  for (const char byte : bytes) name += fmt::format("\\x{:02x}", static_cast<unsigned char>(byte));
  return name;
}

Json ChatLogprobsJson(std::span<const TokenLogprob> tokens) {
  Json content = Json::array();
  for (const TokenLogprob& token : tokens) {
    QWEN25_CHECK(token.logprob.has_value());
    Json entry = ChatToken(token.bytes, *token.logprob);
    entry["top_logprobs"] = Json::array();
    for (const TokenAlternative& other : token.top) {
      entry["top_logprobs"].push_back(ChatToken(other.bytes, other.logprob));
    }
    content.push_back(std::move(entry));
  }
  return {{"content", std::move(content)}, {"refusal", nullptr}};
}

Json CompletionLogprobs::Next(std::span<const TokenLogprob> tokens) {
  Json names = Json::array(), logprobs = Json::array(), alternatives = Json::array(), offsets = Json::array();
  for (const TokenLogprob& token : tokens) {
    names.push_back(TokenName(token.bytes));
    logprobs.push_back(token.logprob.has_value() ? Json(ShownLogprob(*token.logprob)) : Json(nullptr));
    alternatives.push_back(token.logprob.has_value() ? AlternativesJson(token) : Json(nullptr));
    offsets.push_back(num_characters_);
    incomplete_ += token.bytes;
    const size_t num_complete = incomplete_.size() - IncompleteUtf8Suffix(incomplete_);
    num_characters_ += CountCharacters(std::string_view(incomplete_).substr(0, num_complete));
    incomplete_.erase(0, num_complete);
  }
  return {{"tokens", std::move(names)},
          {"token_logprobs", std::move(logprobs)},
          {"top_logprobs", std::move(alternatives)},
          {"text_offset", std::move(offsets)}};
}

}  // namespace qwen25

#include "serve/api/small_replies.h"

#include <openssl/evp.h>

#include <bit>
#include <cmath>
#include <utility>

#include "base/all_finite.h"
#include "text/utf8.h"

namespace qwen25 {
namespace {

std::string Base64(std::span<const float> values) {
  static_assert(std::endian::native == std::endian::little);
  const size_t num_bytes = values.size_bytes();
  std::string text(4 * ((num_bytes + 2) / 3) + 1, '\0');  // with the zero that OpenSSL writes behind it
  const int length =
      EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                      reinterpret_cast<const unsigned char*>(values.data()), static_cast<int>(num_bytes));
  text.resize(static_cast<size_t>(length));
  return text;
}

Json TextOrNull(const std::optional<std::string>& text) {
  return text.has_value() ? Json(RepairUtf8(*text)) : Json(nullptr);
}

}  // namespace

Json ModelJson(const ListedModel& model) {
  return {{"id", RepairUtf8(model.id)},
          {"object", "model"},
          {"created", model.created},
          {"owned_by", model.owned_by},
          {"max_model_len", model.max_model_len}};
}

Json ModelListJson(std::span<const ListedModel> models) {
  Json data = Json::array();
  for (const ListedModel& model : models) data.push_back(ModelJson(model));
  return {{"object", "list"}, {"data", std::move(data)}};
}

Result<Json> EmbeddingsJson(std::string_view model, std::span<const std::vector<float>> rows, bool as_base64,
                            size_t prompt_tokens) {
  Json data = Json::array();
  for (const std::vector<float>& row : rows) {
    if (!AllFinite(row)) return Corrupt("embedding {} has numbers that are not finite", data.size());
    data.push_back({{"object", "embedding"},
                    {"index", data.size()},
                    {"embedding", as_base64 ? Json(Base64(row)) : Json(row)}});
  }
  return Json{{"object", "list"},
              {"data", std::move(data)},
              {"model", RepairUtf8(model)},
              {"usage", {{"prompt_tokens", prompt_tokens}, {"total_tokens", prompt_tokens}}}};
}

Result<Json> RerankJson(std::string_view model, std::span<const RankedDocument> ranked,
                        const std::vector<std::string>* documents, size_t prompt_tokens) {
  Json results = Json::array();
  for (const RankedDocument& document : ranked) {
    if (!std::isfinite(document.score)) return Corrupt("a score is not finite");
    Json result = {{"index", document.index}, {"relevance_score", document.score}};
    if (documents != nullptr) result["document"] = {{"text", (*documents)[document.index]}};
    results.push_back(std::move(result));
  }
  return Json{{"object", "list"},
              {"model", RepairUtf8(model)},
              {"results", std::move(results)},
              {"usage", {{"prompt_tokens", prompt_tokens}, {"total_tokens", prompt_tokens}}}};
}

Json TokenizeJson(std::span<const int32_t> tokens, size_t max_model_len) {
  return {{"count", tokens.size()},
          {"max_model_len", max_model_len},
          {"tokens", std::vector<int32_t>(tokens.begin(), tokens.end())}};
}

Json PromptJson(std::string_view text) {
  return {{"prompt", RepairUtf8(text)}};
}

Json TokenizerInfoJson(const TokenizerInfo& info) {
  return {{"bos_token", TextOrNull(info.bos_token)},
          {"eos_token", TextOrNull(info.eos_token)},
          {"pad_token", TextOrNull(info.pad_token)},
          {"chat_template", TextOrNull(info.chat_template)},
          {"model_max_length", info.max_model_len}};
}

}  // namespace qwen25

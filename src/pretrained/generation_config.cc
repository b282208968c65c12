#include "pretrained/generation_config.h"

#include <algorithm>
#include <limits>

namespace qwen25 {

Result<GenerationConfig> GenerationConfig::FromJson(const Json& json, std::string_view origin) {
  if (!json.is_object()) return InvalidArgument("{}: expected a JSON object", origin);
  GenerationConfig config;
  SamplingOptions& sampling = config.sampling;
  bool do_sample = false;
  QWEN25_RETURN_IF_ERROR(ReadField(json, "do_sample", origin, do_sample));
  QWEN25_RETURN_IF_ERROR(ReadField(json, "repetition_penalty", origin, sampling.repetition_penalty));
  if (do_sample) {
    sampling.temperature = 1;
    QWEN25_RETURN_IF_ERROR(ReadField(json, "temperature", origin, sampling.temperature));
    int64_t top_k = sampling.top_k;  // below 1: all tokens, as other programs write and read it
    QWEN25_RETURN_IF_ERROR(ReadField(json, "top_k", origin, top_k));
    sampling.top_k =
        static_cast<uint32_t>(std::clamp<int64_t>(top_k, 0, std::numeric_limits<uint32_t>::max()));
    QWEN25_RETURN_IF_ERROR(ReadField(json, "top_p", origin, sampling.top_p));
    if (sampling.top_p == 0) sampling.top_p = std::numeric_limits<float>::min();  // the likeliest token alone
    QWEN25_RETURN_IF_ERROR(ReadField(json, "min_p", origin, sampling.min_p));
  }
  if (const Status status = sampling.Validate(); !status.ok()) {
    return InvalidArgument("{}: {}", origin, status.message());
  }
  const auto eos = json.find("eos_token_id");
  if (eos == json.end() || eos->is_null()) return config;
  for (const Json& id : eos->is_array() ? *eos : Json::array({*eos})) {
    if (id.is_null()) continue;  // names none
    if (!id.is_number_integer()) {
      return InvalidArgument("{}: \"eos_token_id\" holds {}, expected a token id", origin, id.dump());
    }
    // Numbers that are not ids, such as -1, end nothing.
    const bool known = id.is_number_unsigned() ? id.get<uint64_t>() <= std::numeric_limits<int32_t>::max()
                                               : id.get<int64_t>() >= 0;
    if (known) config.eos_token_ids.push_back(id.get<int32_t>());
  }
  return config;
}

Result<GenerationConfig> GenerationConfig::Load(const std::filesystem::path& path) {
  if (!std::filesystem::exists(path)) return GenerationConfig();
  QWEN25_TRY(const Json json, ReadJsonFile(path.string()));
  return FromJson(json, path.string());
}

}  // namespace qwen25

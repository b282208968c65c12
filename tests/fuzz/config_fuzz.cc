#include <cmath>

#include "base/check.h"
#include "model/config.h"
#include "targets.h"

namespace qwen25 {

// A config.json that is read keeps every rule, its derived sizes make sense, and it is read again as it is
// written.
void FuzzConfig(std::span<const uint8_t> bytes) {
  constexpr std::string_view kOrigin = "config.json";
  const auto json = ParseJson({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, kOrigin);
  if (!json.ok()) {
    QWEN25_CHECK(json.status().message().find(kOrigin) == 0);
    return;
  }
  const auto config = ModelConfig::FromJson(*json, kOrigin);
  if (!config.ok()) {
    QWEN25_CHECK(config.status().message().find(kOrigin) == 0);
    return;
  }
  QWEN25_CHECK(config->Validate(kOrigin).ok());
  QWEN25_CHECK(config->NumParameters() > config->NumNonEmbeddingParameters());
  QWEN25_CHECK(config->KvBytesPerToken(KvFormat::kFloat16) > 0);
  QWEN25_CHECK(std::isfinite(config->ForwardFlopsPerToken(config->max_position_embeddings)));
  const RotaryFrequencies rotary = ComputeRotaryFrequencies(*config);
  QWEN25_CHECK(rotary.inverse_frequencies.size() == config->head_dim / 2);
  const double greatest = config->rope_scaling && config->rope_scaling->type == "longrope" ? 1e3 : 1;
  for (const double frequency : rotary.inverse_frequencies) {
    QWEN25_CHECK(std::isfinite(frequency) && frequency >= 0 && frequency <= greatest);
  }
  QWEN25_CHECK(std::isfinite(rotary.score_factor) && rotary.score_factor > 0);
  const auto again = ModelConfig::FromJson(config->ToJson(), kOrigin);
  QWEN25_CHECK(again.ok() && *again == *config);
}

}  // namespace qwen25

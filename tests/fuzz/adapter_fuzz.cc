#include <cmath>

#include "base/check.h"
#include "base/json.h"
#include "pretrained/adapter/peft_config.h"
#include "targets.h"

namespace qwen25 {

// An adapter_config.json that is read gives every module a rank and a finite scale; an error names the file.
void FuzzAdapter(std::span<const uint8_t> bytes) {
  const std::string origin = "adapter_config.json";
  const auto json = ParseJson({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, origin);
  if (!json.ok()) {
    QWEN25_CHECK(json.status().message().find(origin) == 0);
    return;
  }
  const auto config = PeftConfig::FromJson(*json, origin);
  if (!config.ok()) {
    QWEN25_CHECK(config.status().message().find(origin) == 0);
    return;
  }
  for (const char* module : {"lm_head", "model.embed_tokens", "model.layers.0.self_attn.q_proj",
                             "model.layers.11.mlp.down_proj"}) {
    const size_t rank = config->RankOf(module);
    QWEN25_CHECK(rank >= 1);
    QWEN25_CHECK(std::isfinite(config->ScaleOf(module, rank)));
  }
}

}  // namespace qwen25

#include "model/config.h"

namespace qwen25 {
namespace {

struct Shape {
  uint32_t layers, heads, kv_heads, head_dim, hidden, ffn, vocabulary;
  bool tied;
};

ModelConfig Make(const Shape& shape, uint32_t max_positions, float eps = 1e-6f) {
  ModelConfig config;
  config.num_hidden_layers = shape.layers;
  config.num_attention_heads = shape.heads;
  config.num_key_value_heads = shape.kv_heads;
  config.head_dim = shape.head_dim;
  config.hidden_size = shape.hidden;
  config.intermediate_size = shape.ffn;
  config.vocab_size = shape.vocabulary;
  config.tie_word_embeddings = shape.tied;
  config.max_position_embeddings = max_positions;
  config.rms_norm_eps = eps;
  return config;
}

// Adds gates that run 6 of 8 groups of query heads for each token, two of them always.
ModelConfig WithHeadRouting(ModelConfig config) {
  config.head_routing = HeadRouting{.shared_groups = 2, .top_k = 4};
  return config;
}

// An official size, with the special tokens of the official base checkpoints.
ModelConfig Official(const Shape& shape, uint32_t max_positions, float eps) {
  ModelConfig config = Make(shape, max_positions, eps);
  config.bos_token_id = 151643;
  config.eos_token_ids = {151643};
  return config;
}

// The same of Qwen3.
ModelConfig OfficialQwen3(const Shape& shape) {
  ModelConfig config = Official(shape, 40960, 1e-6f);
  config.model_type = "qwen3";
  config.attention_bias = false;
  return config;
}

}  // namespace

// Numbers of the official sizes: config.json of the published base checkpoints.
const std::vector<Preset>& Presets() {
  static const std::vector<Preset> presets = {
      {"nano", "minutes on two cores: what scripts/demo trains",
       Make({6, 8, 2, 32, 256, 704, 4096, true}, 2048)},
      {"small", "overnight on a workstation", Make({12, 12, 4, 64, 768, 2048, 16384, true}, 4096)},
      {"narrow-128", "the depth and head count of the flagship, small enough for a laptop",
       WithHeadRouting(Make({128, 128, 8, 8, 256, 704, 4096, true}, 2048))},
      {"narrow-256", "the roadmap's depth, small enough for a laptop",
       WithHeadRouting(Make({256, 128, 8, 8, 256, 704, 4096, true}, 2048))},
      {"flagship", "128 layers x 128 heads: planning and sharded training",
       WithHeadRouting(Make({128, 128, 8, 128, 16384, 53248, 152064, false}, 131072))},
      {"flagship-256", "256 layers x 128 heads: the roadmap",
       WithHeadRouting(Make({256, 128, 8, 128, 16384, 53248, 152064, false}, 131072))},
      {"0.5b", "Qwen2.5-0.5B", Official({24, 14, 2, 64, 896, 4864, 151936, true}, 32768, 1e-6f)},
      {"1.5b", "Qwen2.5-1.5B", Official({28, 12, 2, 128, 1536, 8960, 151936, true}, 131072, 1e-6f)},
      {"3b", "Qwen2.5-3B", Official({36, 16, 2, 128, 2048, 11008, 151936, true}, 32768, 1e-6f)},
      {"7b", "Qwen2.5-7B", Official({28, 28, 4, 128, 3584, 18944, 152064, false}, 131072, 1e-6f)},
      {"14b", "Qwen2.5-14B", Official({48, 40, 8, 128, 5120, 13824, 152064, false}, 131072, 1e-5f)},
      {"32b", "Qwen2.5-32B", Official({64, 40, 8, 128, 5120, 27648, 152064, false}, 131072, 1e-5f)},
      {"72b", "Qwen2.5-72B", Official({80, 64, 8, 128, 8192, 29568, 152064, false}, 131072, 1e-5f)},
      {"qwen3-0.6b", "Qwen3-0.6B", OfficialQwen3({28, 16, 8, 128, 1024, 3072, 151936, true})},
      {"qwen3-1.7b", "Qwen3-1.7B", OfficialQwen3({28, 16, 8, 128, 2048, 6144, 151936, true})},
      {"qwen3-4b", "Qwen3-4B", OfficialQwen3({36, 32, 8, 128, 2560, 9728, 151936, true})},
      {"qwen3-8b", "Qwen3-8B", OfficialQwen3({36, 32, 8, 128, 4096, 12288, 151936, false})},
      {"qwen3-14b", "Qwen3-14B", OfficialQwen3({40, 40, 8, 128, 5120, 17408, 151936, false})},
      {"qwen3-32b", "Qwen3-32B", OfficialQwen3({64, 64, 8, 128, 5120, 25600, 151936, false})},
  };
  return presets;
}

Result<ModelConfig> FindPreset(std::string_view name) {
  std::string names;
  for (const Preset& preset : Presets()) {
    if (preset.name == name) return preset.config;
    if (!names.empty()) names += ", ";
    names += preset.name;
  }
  return NotFound("there is no preset \"{}\"; there are {}", name, names);
}

}  // namespace qwen25

#include "model/adapter/adapter_set.h"

#include <initializer_list>
#include <string>

namespace qwen25 {
namespace {

// A part of a fused matrix: the parameter's name and number of rows.
struct FusedPart {
  std::string parameter;
  size_t num_rows;
};

// What `adapters` change of a matrix [, cols] that consists of `parts`.
std::vector<LowRankFactors> FactorsOf(std::span<const Adapter> adapters, size_t cols,
                                      std::initializer_list<FusedPart> parts) {
  std::vector<LowRankFactors> factors;
  size_t first_row = 0;
  for (const FusedPart& part : parts) {
    for (const Adapter& adapter : adapters) {
      const AdapterMatrix* matrix = adapter.Find(part.parameter);
      if (matrix == nullptr) continue;
      factors.push_back({.first_row = first_row,
                         .up = {matrix->up.data(), part.num_rows, matrix->rank},
                         .down = {matrix->down.data(), matrix->rank, cols}});
    }
    first_row += part.num_rows;
  }
  return factors;
}

}  // namespace

Result<std::shared_ptr<const AdapterSet>> AdapterSet::Make(const ModelConfig& config,
                                                           std::span<const Adapter> adapters,
                                                           ThreadPool& threads) {
  for (const Adapter& adapter : adapters) QWEN25_RETURN_IF_ERROR(CheckAdapterFits(adapter, config));
  auto set = std::make_shared<AdapterSet>();
  set->hash_ = HashAdapters(adapters);
  if (set->hash_ == Hash128()) return std::shared_ptr<const AdapterSet>(std::move(set));
  set->config_ = config;
  const size_t hidden = config.hidden_size, q = config.QueryDim(), kv = config.KeyValueDim(),
               ffn = config.intermediate_size, vocabulary = config.vocab_size;
  const auto update = [&](size_t cols, std::initializer_list<FusedPart> parts) {
    return LowRankUpdate(threads, FactorsOf(adapters, cols, parts));
  };
  set->embed_tokens_ =
      LowRankEmbedding(threads, FactorsOf(adapters, hidden, {{"model.embed_tokens.weight", vocabulary}}));
  for (size_t i = 0; i < config.num_hidden_layers; ++i) {
    const std::string attention = fmt::format("model.layers.{}.self_attn.", i);
    const std::string feed_forward = fmt::format("model.layers.{}.mlp.", i);
    set->layers_.push_back({.qkv_proj = update(hidden, {{attention + "q_proj.weight", q},
                                                        {attention + "k_proj.weight", kv},
                                                        {attention + "v_proj.weight", kv}}),
                            .o_proj = update(q, {{attention + "o_proj.weight", hidden}}),
                            .gate_up_proj = update(hidden, {{feed_forward + "gate_proj.weight", ffn},
                                                            {feed_forward + "up_proj.weight", ffn}}),
                            .down_proj = update(ffn, {{feed_forward + "down_proj.weight", hidden}})});
  }
  set->lm_head_ = update(hidden, {{"lm_head.weight", vocabulary}});
  return std::shared_ptr<const AdapterSet>(std::move(set));
}

Status AdapterSet::CheckFits(const ModelConfig& config) const {
  const auto shape = [](const ModelConfig& of) {
    return std::vector<size_t>{of.num_hidden_layers, of.hidden_size,       of.QueryDim(),
                               of.KeyValueDim(),     of.intermediate_size, of.vocab_size};
  };
  if (empty() || shape(config) == shape(config_)) return {};
  return InvalidArgument(
      "the adapters were made for a model of another shape: layers, width, queries, keys, feed-forward width "
      "and vocabulary are {}, expected {}",
      fmt::join(shape(config_), ", "), fmt::join(shape(config), ", "));
}

}  // namespace qwen25

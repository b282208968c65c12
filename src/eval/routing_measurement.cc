#include "eval/routing_measurement.h"

#include <algorithm>

#include "infer/session.h"
#include "kernels/kv_block.h"

namespace qwen25 {
namespace {

std::vector<RoutingMapLayer> Layers(const ModelConfig& config, const RoutingPolicy& policy,
                                    std::span<const RoutingCounts> all_counts) {
  // One block for one token: 64 keys and values of D numbers, 2 operations each, per query head of the group.
  const double block_flops =
      4.0 * kBlockTokens * config.head_dim * (config.num_attention_heads / config.num_key_value_heads);
  std::vector<RoutingMapLayer> layers;
  for (const RoutingCounts& counts : all_counts) {
    RoutingMapLayer& layer = layers.emplace_back();
    layer.layer = layers.size() - 1;
    layer.routed = layer.layer >= policy.dense_layers;
    const auto visible = static_cast<double>(counts.blocks_visible),
               read = static_cast<double>(counts.blocks_read),
               routed = static_cast<double>(counts.routed_rows);
    layer.read_share = visible > 0 ? read / visible : 1;
    if (routed > 0) {
      layer.estimated_share =
          static_cast<double>(counts.estimated_share) * RoutingCounts::kShareUnit / routed;
      layer.certain_share = static_cast<double>(counts.certain_share) * RoutingCounts::kShareUnit / routed;
      layer.dense_again = static_cast<double>(counts.dense_again) / routed;
    }
    // Keys alone, where blocks are reranked.
    const double read_flops = (read + static_cast<double>(counts.keys_scored) / 2) * block_flops;
    layer.gflops = read_flops / 1e9;
    layer.saved_gflops = (visible * block_flops - read_flops) / 1e9;
    layer.seconds = static_cast<double>(counts.nanoseconds) * 1e-9;
  }
  return layers;
}

// One pass with `pass_policy`. `policy` decides which layers count as routed. `trace` may be null.
Result<std::vector<RoutingMapLayer>> ReadText(InferenceEngine& engine, std::span<const int32_t> tokens,
                                              const RoutingPolicy& policy, const RoutingPolicy& pass_policy,
                                              RoutingTrace* trace, std::string_view pass,
                                              const RoutingProgress& progress) {
  Session session(engine);
  QWEN25_RETURN_IF_ERROR(session.SetRouting(pass_policy));
  session.SetRoutingTrace(trace);
  QWEN25_RETURN_IF_ERROR(
      session.Append(tokens, [&](size_t num_done) { return !progress || progress(pass, num_done); }));
  return Layers(engine.model().config(), policy, session.routing_counts());
}

// The text of each token. The bytes of an incomplete character go to the token that completes it.
std::vector<std::string> Texts(const Tokenizer& tokenizer, std::span<const int32_t> tokens) {
  StreamDecoder decoder(tokenizer, /*skip_special=*/false);
  std::vector<std::string> texts;
  for (const int32_t token : tokens) texts.push_back(decoder.Next(token));
  texts.back() += decoder.Finish();
  return texts;
}

}  // namespace

Result<RoutingMap> MeasureRouting(InferenceEngine& engine, const Tokenizer& tokenizer,
                                  std::span<const int32_t> tokens, const RoutingProgress& progress) {
  if (tokens.empty()) return InvalidArgument("the text is empty, expected at least one token");
  if (tokens.size() > engine.max_context_tokens()) {
    return InvalidArgument(
        "the text has {} tokens, but the context holds only {}; shorten it with --max-tokens", tokens.size(),
        engine.max_context_tokens());
  }
  const RoutingPolicy policy = engine.routing();
  const ModelConfig& config = engine.model().config();
  // The timed passes come first and record no trace, which would cost time.
  QWEN25_TRY(const std::vector<RoutingMapLayer> dense,
             ReadText(engine, tokens, policy, RoutingPolicy(), nullptr, "dense", progress));
  QWEN25_TRY(const std::vector<RoutingMapLayer> timed,
             ReadText(engine, tokens, policy, policy, nullptr, "routed", progress));
  RoutingTrace trace(engine.model().layers.size(), config.num_key_value_heads, tokens.size());
  RoutingMap map = {.policy = policy.ToString(),
                    .tokens = Texts(tokenizer, tokens),
                    .block_tokens = kBlockTokens,
                    .side = std::min(RoutingMap::kMaxSide, BlocksFor(tokens.size()))};
  QWEN25_TRY(map.layers, ReadText(engine, tokens, policy, policy, &trace, "tracing", progress));
  map.blocks_read = BlocksReadPerToken(trace, policy.dense_layers);
  for (size_t i = 0; i < map.layers.size(); ++i) {
    map.layers[i].seconds = timed[i].seconds;
    map.layers[i].dense_seconds = dense[i].seconds;
    map.layers[i].cells = RoutingCells(trace, i, map.side);
  }
  return map;
}

std::vector<double> BlocksReadPerToken(const RoutingTrace& trace, size_t first_layer) {
  std::vector<double> read(trace.num_tokens());
  double rows = 0;
  for (size_t layer = first_layer; layer < trace.num_layers(); ++layer) {
    for (size_t kv_head = 0; kv_head < trace.num_kv_heads(); ++kv_head, ++rows) {
      for (size_t t = 0; t < read.size(); ++t) {
        read[t] += static_cast<double>(trace.NumRead(layer, kv_head, t));
      }
    }
  }
  for (double& count : read) count /= std::max(rows, 1.0);
  return read;
}

std::vector<double> RoutingCells(const RoutingTrace& trace, size_t layer, size_t side) {
  const size_t num_blocks = BlocksFor(trace.num_tokens());
  std::vector<double> read(side * side), visible(side * side);
  for (size_t kv_head = 0; kv_head < trace.num_kv_heads(); ++kv_head) {
    for (size_t t = 0; t < trace.num_tokens(); ++t) {
      const size_t own = t / kBlockTokens, row = own * side / num_blocks;
      for (size_t block = 0; block <= own; ++block) {
        const size_t cell = row * side + block * side / num_blocks;
        visible[cell] += 1;
        read[cell] += trace.Read(layer, kv_head, t, block);
      }
    }
  }
  for (size_t i = 0; i < read.size(); ++i) read[i] = visible[i] > 0 ? read[i] / visible[i] : 0;
  return read;
}

}  // namespace qwen25

#include <memory>

#include "base/file.h"
#include "base/json.h"
#include "base/progress.h"
#include "cli/flags/model_flags.h"
#include "cli/flags/text_flag.h"
#include "cli/routing_map.h"
#include "cli/terminal/interrupt.h"
#include "cli/verb.h"
#include "infer/session.h"

namespace qwen25 {
namespace {

struct RoutingFlags {
  ModelFlags model;
  std::optional<std::string> text;
  std::string text_file, output = "routing.html";
  uint64_t max_tokens = 0;
  bool json = false;
};

// What the layers did in a session that has read the text. `policy`: the one that the map is of.
std::vector<LayerRoutingSummary> Summaries(const ModelConfig& config, const RoutingPolicy& policy,
                                           const Session& session) {
  // One block for one token: 64 keys and values times D for each head of the group, 2 operations each.
  const double block_flops =
      4.0 * kBlockTokens * config.head_dim * (config.num_attention_heads / config.num_key_value_heads);
  std::vector<LayerRoutingSummary> layers;
  for (const RoutingCounts& counts : session.routing_counts()) {
    LayerRoutingSummary& layer = layers.emplace_back();
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
    layer.gflops = read * block_flops / 1e9;
    layer.saved_gflops = (visible - read) * block_flops / 1e9;
    layer.seconds = static_cast<double>(counts.nanoseconds) * 1e-9;
  }
  return layers;
}

// Reads the text once. `trace` may be null.
Result<std::vector<LayerRoutingSummary>> ReadText(InferenceEngine& engine, std::span<const int32_t> tokens,
                                                  const RoutingPolicy& policy, const char* label,
                                                  RoutingTrace* trace = nullptr) {
  Session session(engine);
  QWEN25_RETURN_IF_ERROR(session.SetRouting(policy));
  session.SetRoutingTrace(trace);
  Progress progress(label, "tokens", tokens.size());
  QWEN25_RETURN_IF_ERROR(session.Append(tokens, [&](size_t done) {
    progress.Update(done);
    return !InterruptGuard::requested();
  }));
  return Summaries(engine.model().config(), engine.routing(), session);
}

Json ToJson(const RoutingMapInput& input) {
  Json json = {{"policy", input.policy}, {"tokens", input.tokens.size()}, {"layers", Json::array()}};
  for (const LayerRoutingSummary& layer : input.layers) {
    json["layers"].push_back({{"layer", layer.layer},
                              {"read_share", layer.read_share},
                              {"estimated_share", layer.estimated_share},
                              {"certain_share", layer.certain_share},
                              {"dense_again", layer.dense_again},
                              {"gflops", layer.gflops},
                              {"saved_gflops", layer.saved_gflops},
                              {"seconds", layer.seconds},
                              {"dense_seconds", layer.dense_seconds}});
  }
  json["blocks_read_per_token"] = BlocksReadPerToken(input);
  return json;
}

void PrintTable(const RoutingMapInput& input) {
  fmt::print("{:>5}{:>9}{:>11}{:>10}{:>8}{:>10}{:>10}{:>10}\n", "layer", "read", "estimated", "at least",
             "dense", "GFLOP", "ms", "ms dense");
  for (const LayerRoutingSummary& layer : input.layers) {
    fmt::print("{:>5}{:>7.1f} %{:>9.1f} %{:>8.1f} %{:>6.1f} %{:>10.2f}{:>10.1f}{:>10.1f}\n", layer.layer,
               100 * layer.read_share, 100 * layer.estimated_share, 100 * layer.certain_share,
               100 * layer.dense_again, layer.gflops, 1e3 * layer.seconds, 1e3 * layer.dense_seconds);
  }
}

Status RunRouting(RoutingFlags flags) {
  QWEN25_TRY(const std::string text, ReadTextFlag(flags.text, flags.text_file, "text"));
  flags.model.keep_summaries = true;
  QWEN25_TRY(LoadedModel model, LoadModel(flags.model));
  InferenceEngine& engine = *model.engine;
  const RoutingPolicy policy = engine.routing();
  if (policy.kind == RoutingPolicy::Kind::kDense) {
    return InvalidArgument("the model has no routing of its own: give one, e.g. --routing top_p:0.95");
  }
  std::vector<int32_t> tokens = model.tokenizer.Encode(text, EncodeOptions{.add_bos = true});
  if (flags.max_tokens != 0) tokens.resize(std::min<uint64_t>(tokens.size(), flags.max_tokens));
  if (tokens.empty()) return InvalidArgument("the text is empty");
  if (tokens.size() > engine.max_context_tokens()) {
    return InvalidArgument("the text has {} tokens, the model's context {}; cut it with --max-tokens",
                           tokens.size(), engine.max_context_tokens());
  }
  const InterruptGuard guard;
  // Times first, without anything that is only for the picture.
  QWEN25_TRY(const std::vector<LayerRoutingSummary> dense,
             ReadText(engine, tokens, RoutingPolicy(), "dense"));
  QWEN25_TRY(const std::vector<LayerRoutingSummary> timed, ReadText(engine, tokens, policy, "routed"));

  RoutingTrace trace(engine.model().layers.size(), engine.model().config().num_key_value_heads,
                     tokens.size());
  QWEN25_TRY(std::vector<LayerRoutingSummary> traced, ReadText(engine, tokens, policy, "tracing", &trace));
  RoutingMapInput input = {.title = flags.model.directory,
                           .policy = policy.ToString(),
                           .tokens = tokens,
                           .tokenizer = &model.tokenizer,
                           .trace = &trace,
                           .layers = std::move(traced)};
  for (size_t i = 0; i < input.layers.size(); ++i) {
    input.layers[i].seconds = timed[i].seconds;
    input.layers[i].dense_seconds = dense[i].seconds;
  }
  if (!flags.output.empty()) {
    const bool figure = flags.output.ends_with(".svg");
    QWEN25_RETURN_IF_ERROR(
        WriteFileAtomically(flags.output, figure ? RenderRoutingFigure(input) : RenderRoutingMap(input)));
  }
  if (flags.json) {
    fmt::print("{}\n", ToJson(input).dump());
  } else {
    PrintTable(input);
    if (!flags.output.empty()) fmt::print("map: {}\n", flags.output);
  }
  return {};
}

}  // namespace

void AddRoutingVerb(CLI::App& app, RunVerb& run) {
  auto flags = std::make_shared<RoutingFlags>();
  CLI::App* verb =
      app.add_subcommand("routing", "Draw which blocks the tokens of a text read, and what it saved");
  AddModelFlags(*verb, flags->model);
  verb->add_option("-t,--text", flags->text, "The text");
  verb->add_option("--text-file", flags->text_file, "Read it from a file; - is standard input");
  verb->add_option("--max-tokens", flags->max_tokens, "Only the first of them; 0: all");
  verb->add_option("-o,--output", flags->output,
                   "HTML page to write, or .svg: its pictures alone; empty: none")
      ->capture_default_str();
  verb->add_flag("--json", flags->json, "Print one JSON object");
  verb->footer(
      "Examples:\n"
      "  qwen25 routing -m MODEL --text-file book.txt --routing top_p:0.95,dense_below=0 -o routing.html\n"
      "  qwen25 routing -m MODEL --text-file notes.txt --routing top_k:16,max_missed=0.5 --json -o ''");
  verb->callback([flags, &run] { run = [flags] { return RunRouting(*flags); }; });
}

}  // namespace qwen25

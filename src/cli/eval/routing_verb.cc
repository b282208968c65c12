#include "base/file.h"
#include "base/json.h"
#include "base/progress.h"
#include "cli/eval/calibrate_routing.h"
#include "cli/flags/model_flags.h"
#include "cli/flags/text_flag.h"
#include "cli/terminal/interrupt.h"
#include "cli/verb.h"
#include "eval/routing_measurement.h"

namespace qwen25 {
namespace {

struct RoutingFlags {
  ModelFlags model;
  std::optional<std::string> text;
  std::string text_file;
  std::optional<std::string> output;
  uint64_t max_tokens = 0;
  bool json = false;
  bool calibrate = false;
  CalibrateFlags calibration;
};

Json ToJson(const RoutingMap& map) {
  Json json = {{"policy", map.policy}, {"tokens", map.tokens.size()}, {"layers", Json::array()}};
  for (const RoutingMapLayer& layer : map.layers) {
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
  json["blocks_read_per_token"] = map.blocks_read;
  return json;
}

void PrintTable(const RoutingMap& map) {
  fmt::print("{:>5}{:>9}{:>11}{:>10}{:>8}{:>10}{:>10}{:>10}\n", "layer", "read", "estimated", "at least",
             "dense", "GFLOP", "ms", "ms dense");
  for (const RoutingMapLayer& layer : map.layers) {
    fmt::print("{:>5}{:>7.1f} %{:>9.1f} %{:>8.1f} %{:>6.1f} %{:>10.2f}{:>10.1f}{:>10.1f}\n", layer.layer,
               100 * layer.read_share, 100 * layer.estimated_share, 100 * layer.certain_share,
               100 * layer.dense_again, layer.gflops, 1e3 * layer.seconds, 1e3 * layer.dense_seconds);
  }
}

Status Calibrate(RoutingFlags flags, const std::string& text) {
  const std::string output = flags.output.value_or("calibration.svg");
  if (!output.empty() && !output.ends_with(".svg")) {
    return InvalidArgument("-o {}: the chart of a calibration is a .svg", output);
  }
  if (flags.model.routing != "auto") {
    return InvalidArgument("--calibrate tries policies of its own; leave out --routing {}",
                           flags.model.routing);
  }
  flags.calibration.max_tokens = flags.max_tokens;
  flags.calibration.json = flags.json;
  return RunCalibration(flags.model.directory, flags.text ? "--text" : flags.text_file, text, output,
                        flags.calibration);
}

Status RunRouting(RoutingFlags flags) {
  QWEN25_TRY(const std::string text, ReadTextFlag(flags.text, flags.text_file, "text"));
  if (flags.calibrate) return Calibrate(std::move(flags), text);
  const std::string output = flags.output.value_or("routing.html");
  flags.model.keep_summaries = true;
  QWEN25_TRY(LoadedModel model, LoadModel(flags.model));
  if (model.engine->routing().kind == RoutingPolicy::Kind::kDense) {
    return InvalidArgument("the model has no routing of its own: give one, e.g. --routing top_p:0.95");
  }
  std::vector<int32_t> tokens = model.tokenizer.Encode(text, EncodeOptions{.add_bos = true});
  if (flags.max_tokens != 0) tokens.resize(std::min<uint64_t>(tokens.size(), flags.max_tokens));
  const InterruptGuard guard;
  std::optional<Progress> progress;
  std::string shown;
  const auto show = [&](std::string_view pass, size_t num_tokens) {
    if (shown != pass) {
      shown = pass;
      progress.emplace(shown, "tokens", tokens.size());
    }
    progress->Update(num_tokens);
    return !InterruptGuard::requested();
  };
  QWEN25_TRY(RoutingMap map, MeasureRouting(*model.engine, model.tokenizer, tokens, show));
  progress.reset();
  map.title = flags.model.directory;
  if (!output.empty()) {
    const bool figure = output.ends_with(".svg");
    QWEN25_RETURN_IF_ERROR(
        WriteFileAtomically(output, figure ? RenderRoutingFigure(map) : RenderRoutingMap(map)));
  }
  if (flags.json) {
    fmt::print("{}\n", ToJson(map).dump());
  } else {
    PrintTable(map);
    if (!output.empty()) fmt::print("map: {}\n", output);
  }
  return {};
}

}  // namespace

void AddRoutingVerb(CLI::App& app, RunVerb& run) {
  const auto [verb, flags] = AddVerb(
      app, run, "routing", "Draw which blocks the tokens of a text read, and what it saved", RunRouting);
  AddModelFlags(*verb, flags->model);
  verb->add_option("-t,--text", flags->text, "The text");
  verb->add_option("--text-file", flags->text_file, "Read it from a file; - is standard input");
  verb->add_option("--max-tokens", flags->max_tokens, "Only the first of them; 0: all");
  verb->add_option("-o,--output", flags->output,
                   "HTML page to write, or .svg: its pictures alone; empty: none. Default: routing.html, or "
                   "calibration.svg");
  verb->add_flag(
      "--calibrate", flags->calibrate,
      "Instead, try policies on the text, and keep the one of least work beside the model, for all "
      "that run it with --routing auto");
  verb->add_option("--max-loss", flags->calibration.max_loss,
                   "With --calibrate: by how many percent perplexity may be above that of dense attention")
      ->capture_default_str();
  verb->add_option("--window", flags->calibration.window,
                   "With --calibrate: tokens of one forward pass; default: 8192, or what the model holds");
  verb->add_flag("--json", flags->json, "Print one JSON object");
  verb->footer(
      "Examples:\n"
      "  qwen25 routing -m MODEL --text-file book.txt --routing top_p:0.95,dense_below=0 -o routing.html\n"
      "  qwen25 routing -m MODEL --text-file notes.txt --routing top_k:16,max_missed=0.5 --json -o ''\n"
      "  qwen25 routing -m MODEL --text-file book.txt --calibrate --max-loss 0.5");
}

}  // namespace qwen25

// The project's own numbers: speed beside what the machine could reach.
#include "cli/bench/bench_verb.h"

#include "data/read/text_stream.h"

namespace qwen25 {

void AddPresetFlag(CLI::App& bench, std::string& preset) {
  bench.add_option("--preset", preset, "Shape; weights are random")->capture_default_str();
}

void AddWeightsFlag(CLI::App& bench, std::string& weights) {
  bench.add_option("--weights", weights, "float32, bfloat16, float16, int8 or int4")->capture_default_str();
}

void AddGenerationFlags(CLI::App& bench, std::vector<uint32_t>& depths, std::vector<uint32_t>& batches) {
  AddListFlag(bench, "--depth", depths, "Tokens of context before the generated ones");
  AddListFlag(bench, "--batch", batches, "Sequences that generate together");
}

Result<std::string> ReadTexts(const std::vector<std::string>& paths) {
  std::string all;
  for (const std::string& path : paths) {
    QWEN25_TRY(const std::string text, ReadText(path));
    all += text;
  }
  if (all.empty() && !paths.empty()) {
    return InvalidArgument("{}: --text names no byte of text; give a file that has some", paths[0]);
  }
  return all;
}

void PrintFigures(const Json& object, size_t width) {
  for (const auto& [key, value] : object.items()) {
    fmt::print("  {:<{}}{}\n", key, width,
               value.is_number_float() ? fmt::format("{:.4g}", value.get<double>()) : value.dump());
  }
}

void AddBenchVerb(CLI::App& app, RunVerb& run) {
  CLI::App* verb = app.add_subcommand("bench", "Measure speed, beside the machine's own limits");
  verb->require_subcommand(1);
  verb->footer(
      "Example:\n  qwen25 bench train --preset small --batch 4\n\n`qwen25 bench NAME --help` explains one.");
  AddTrainBench(*verb, run);
  AddInferenceBench(*verb, run);
  AddSpeculationBench(*verb, run);
  AddRoutingBench(*verb, run);
  AddMemoryBench(*verb, run);
  AddRecallBench(*verb, run);
  AddNeedleBench(*verb, run);
  AddRetrievalBench(*verb, run);
  AddLoadBench(*verb, run);
}

}  // namespace qwen25

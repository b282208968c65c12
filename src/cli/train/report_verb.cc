#include <charconv>

#include "cli/flags/model_flags.h"
#include "cli/verb.h"
#include "infer/generate.h"
#include "train/run_report.h"

namespace qwen25 {
namespace {

struct ReportFlags {
  std::string run;
  std::vector<std::string> compressors, prompts, data;
  size_t max_new_tokens = 80;
  uint64_t seed = 1;
};

// "NAME=VALUE" at the last '='.
Result<std::pair<std::string, std::string>> SplitPair(const std::string& text, const char* flag) {
  const size_t equals = text.rfind('=');
  if (equals == std::string::npos || equals == 0)
    return InvalidArgument("{} {}: expected NAME=VALUE", flag, text);
  return std::pair(text.substr(0, equals), text.substr(equals + 1));
}

// Completes each prompt with the run's model, and prints it: the report and the terminal show the same texts.
Status Complete(const ReportFlags& flags, std::vector<TrainingPage::Completion>& completions) {
  if (flags.prompts.empty()) return {};
  ModelFlags model_flags;
  model_flags.directory = (std::filesystem::path(flags.run) / "model").string();
  QWEN25_TRY(LoadedModel model, LoadModel(model_flags));
  GenerateOptions options;
  options.sampling = {.temperature = 0.6f,
                      .top_k = 40,
                      .top_p = 0.95f,
                      .min_p = 0,
                      .repetition_penalty = 1.1f,
                      .seed = flags.seed};
  options.max_new_tokens = flags.max_new_tokens;
  options.stop_tokens = model.stop_tokens;
  for (const std::string& prompt : flags.prompts) {
    Session session(*model.engine);
    QWEN25_TRY(const GenerateResult result,
               Generate(session, model.tokenizer, model.tokenizer.Encode(prompt), options));
    QWEN25_RETURN_IF_ERROR(result.error);
    completions.push_back({prompt, result.text});
    fmt::print("--- {}\n{}{}\n", prompt, prompt, result.text);
  }
  return {};
}

Status RunReport(const ReportFlags& flags) {
  RunReportExtras extras;
  for (const std::string& text : flags.compressors) {
    QWEN25_TRY(const auto pair, SplitPair(text, "--compressor"));
    double bits = 0;
    const auto [end, error] =
        std::from_chars(pair.second.data(), pair.second.data() + pair.second.size(), bits);
    if (error != std::errc() || *end != '\0' || !(bits > 0)) {
      return InvalidArgument("--compressor {}: {} is not a number of bits per byte", text, pair.second);
    }
    extras.compressors.push_back({pair.first, bits});
  }
  for (const std::string& text : flags.data) {
    QWEN25_TRY(auto pair, SplitPair(text, "--data"));
    extras.data.push_back({std::move(pair.first), std::move(pair.second)});
  }
  QWEN25_RETURN_IF_ERROR(Complete(flags, extras.completions));
  QWEN25_RETURN_IF_ERROR(WriteRunReport(flags.run, extras));
  fmt::print("{}\n", (std::filesystem::path(flags.run) / "report.html").string());
  return {};
}

}  // namespace

void AddReportVerb(CLI::App& app, RunVerb& run) {
  const auto [verb, flags] =
      AddVerb(app, run, "report", "Write a run's loss curve and report again, with more in it", RunReport);
  verb->add_option("run", flags->run, "Folder of the run")->required();
  verb->add_option("--compressor", flags->compressors,
                   "NAME=BITS of another compressor on the same held-out text");
  verb->add_option("--prompt", flags->prompts,
                   "A text for the model to complete; printed and put into the report");
  verb->add_option("--max-new-tokens", flags->max_new_tokens, "Tokens of each completion")
      ->capture_default_str();
  verb->add_option("--seed", flags->seed, "Of the completions")->capture_default_str();
  verb->add_option("--data", flags->data, "NAME=VALUE about the data");
  verb->footer("Example:\n  qwen25 report runs/demo --compressor \"gzip -9=1.95\" --prompt \"import os\"");
}

}  // namespace qwen25

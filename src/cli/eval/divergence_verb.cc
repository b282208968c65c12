// What a weight format costs: perplexity, and how far the predictions are from those of a reference.
#include <algorithm>

#include "base/json.h"
#include "cli/flags/model_flags.h"
#include "cli/terminal/interrupt.h"
#include "cli/terminal/show_progress.h"
#include "cli/verb.h"
#include "eval/divergence.h"
#include "pretrained/hub/resolve_model.h"
#include "pretrained/load_tokenizer.h"

namespace qwen25 {
namespace {

constexpr size_t kDefaultWindow = 512;

struct DivergenceFlags {
  std::string model, reference = "float32";
  std::vector<std::string> formats = {"bfloat16", "int8", "int4"}, against, files;
  uint32_t window = 0;  // 0: kDefaultWindow, or what the models have
  uint64_t max_tokens = 20000;
  bool json = false;
};

Status LoadModels(const DivergenceFlags& flags, const Tokenizer& tokenizer, ModelComparison& comparison) {
  QWEN25_TRY(const std::filesystem::path model_path, ResolveModel(flags.model));
  std::vector<std::string> formats = {flags.reference};
  formats.insert(formats.end(), flags.formats.begin(), flags.formats.end());
  for (const std::string& name : formats) {
    QWEN25_TRY(const WeightFormat format, ParseWeightFormat(name));
    QWEN25_TRY(Model model, Model::LoadPacked(model_path, format, comparison.threads()));
    if (name == formats.front()) PrintNotes(model.remarks());  // the same for every format
    QWEN25_RETURN_IF_ERROR(comparison.AddModel(name, std::move(model), tokenizer));
  }
  for (const std::string& name : flags.against) {
    QWEN25_TRY(const std::filesystem::path path, ResolveModel(name));
    QWEN25_TRY(const Tokenizer its_tokenizer, LoadTokenizer(path));
    QWEN25_TRY(Model model, Model::LoadPacked(path, std::nullopt, comparison.threads()));
    PrintNotes(model.remarks());
    QWEN25_RETURN_IF_ERROR(comparison.AddModel(name, std::move(model), its_tokenizer));
  }
  return {};
}

Json ToJson(const std::vector<ModelDivergence>& models) {
  Json rows = Json::array();
  for (const ModelDivergence& model : models) {
    rows.push_back({{"model", model.name},
                    {"bits_per_weight", model.bits_per_weight},
                    {"perplexity", model.perplexity},
                    {"perplexity_change", model.perplexity_change},
                    {"mean_divergence", model.mean_divergence},
                    {"divergence_99", model.divergence_99},
                    {"same_top", model.same_top}});
  }
  return rows;
}

void PrintTable(const std::vector<ModelDivergence>& models) {
  size_t width = 8;
  for (const ModelDivergence& model : models) width = std::max(width, model.name.size());
  fmt::print("{:<{}}{:>13}{:>12}{:>9}{:>12}{:>12}{:>10}\n", "weights", width, "bits/weight", "perplexity",
             "change", "mean KL", "99 % KL", "same top");
  for (const ModelDivergence& model : models) {
    fmt::print("{:<{}}{:>13.2f}{:>12.4f}{:>8.2f}%{:>12.6f}{:>12.6f}{:>9.2f}%\n", model.name, width,
               model.bits_per_weight, model.perplexity, 100 * model.perplexity_change, model.mean_divergence,
               model.divergence_99, 100 * model.same_top);
  }
}

Status RunDivergence(const DivergenceFlags& flags) {
  QWEN25_TRY(const Tokenizer tokenizer, LoadTokenizer(flags.model));
  ModelComparison comparison(tokenizer);
  QWEN25_RETURN_IF_ERROR(LoadModels(flags, tokenizer, comparison));
  const size_t window =
      flags.window != 0 ? flags.window : std::min<size_t>(kDefaultWindow, comparison.max_window());
  if (window < 2 || window > comparison.max_window()) {
    return InvalidArgument("--window is {}, expected 2 to {}, the models' positions", window,
                           comparison.max_window());
  }
  const InterruptGuard guard;
  Progress progress("divergence", "tokens", flags.max_tokens);
  QWEN25_RETURN_IF_ERROR(
      comparison.AddFiles(flags.files, window, flags.max_tokens, ShowUntilInterrupt(progress)));
  progress.Finish();
  if (comparison.num_tokens() == 0) return InvalidArgument("the files hold no text to predict");
  const std::vector<ModelDivergence> models = comparison.Summarize();
  if (flags.json) {
    fmt::print("{}\n", Json({{"tokens", comparison.num_tokens()}, {"models", ToJson(models)}}).dump());
  } else {
    fmt::print("{} tokens; divergence from {} in nats per token\n", comparison.num_tokens(), flags.reference);
    PrintTable(models);
  }
  return {};
}

}  // namespace

void AddDivergenceVerb(CLI::App& app, RunVerb& run) {
  const auto [verb, flags] = AddVerb(
      app, run, "divergence", "What weight formats cost: perplexity and divergence on texts", RunDivergence);
  verb->add_option("-m,--model", flags->model, "Folder, .gguf file or name of a model")->required();
  verb->add_option("files", flags->files, "Text files, or .jsonl files with a \"text\" per line")->required();
  verb->add_option("--reference", flags->reference, "Weight format to compare with")->capture_default_str();
  verb->add_option("--weights", flags->formats,
                   "Weight formats, with commas between: float32, bfloat16, float16, int8, int4")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->capture_default_str();
  verb->add_option("--against", flags->against,
                   "Another model, as stored, beside the formats; may be given several "
                   "times")
      ->allow_extra_args(false);
  verb->add_option("--window", flags->window,
                   "Tokens of a window; each token is predicted from those before it; default: at most 512");
  verb->add_option("--max-tokens", flags->max_tokens, "Stop after this many tokens; 0: all")
      ->capture_default_str();
  verb->add_flag("--json", flags->json, "Print one JSON object");
  verb->footer(
      "All models are in memory together.\n"
      "Examples:\n"
      "  qwen25 divergence -m runs/demo/model --weights int8,int4 book.txt\n"
      "  qwen25 divergence -m MODEL book.txt --against model-q8_0.gguf --against model-q4_k.gguf");
}

}  // namespace qwen25

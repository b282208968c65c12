#include <cmath>
#include <memory>
#include <optional>

#include "base/file.h"
#include "base/format.h"
#include "cli/flags/check_numbers.h"
#include "cli/flags/model_flags.h"
#include "cli/terminal/interrupt.h"
#include "cli/train/train_progress.h"
#include "cli/verb.h"
#include "model/plan.h"
#include "pretrained/hub/resolve_model.h"
#include "text/tokenizer.h"
#include "train/shard_source.h"

namespace qwen25 {
namespace {

struct TrainFlags {
  std::string recipe;
  // Flags that stand for one key of a recipe each; empty: not given.
  std::vector<std::pair<std::string, std::string>> shorthands;
  std::vector<std::string> settings;  // "key=value"
  bool resume = false;
  uint32_t num_threads = 0;
};

Result<TrainOptions> ReadOptions(const TrainFlags& flags) {
  TrainOptions options;
  if (!flags.recipe.empty()) QWEN25_RETURN_IF_ERROR(ReadRecipe(flags.recipe, options));
  for (const auto& [key, value] : flags.shorthands) {
    if (!value.empty()) QWEN25_RETURN_IF_ERROR(SetOption(key, value, options));
  }
  QWEN25_RETURN_IF_ERROR(ApplySettings(flags.settings, "optimizer.learning_rate=3e-4", options));
  options.resume = flags.resume;
  return options;
}

// The vocabulary decides the rows of the embedding: a multiple of 64, so that matrix products have no ragged
// edge.
Result<std::vector<uint32_t>> FitTokenizer(TrainOptions& options) {
  std::vector<uint32_t> token_bytes;
  if (options.tokenizer.empty()) return token_bytes;
  QWEN25_TRY(const Tokenizer tokenizer, Tokenizer::Load(options.tokenizer));
  if (options.vocab_size == 0)
    options.vocab_size = static_cast<uint32_t>((tokenizer.vocab_size() + 63) / 64 * 64);
  if (options.vocab_size < tokenizer.vocab_size()) {
    return InvalidArgument(
        "model.vocab_size is {}, and the tokenizer in {} has {} entries; it must be at least that",
        options.vocab_size, options.tokenizer, tokenizer.vocab_size());
  }
  if (options.eos_token_id < 0 && tokenizer.eos_id()) options.eos_token_id = *tokenizer.eos_id();
  token_bytes.resize(options.vocab_size);
  for (size_t id = 0; id < tokenizer.vocab_size(); ++id) {
    // A special token stands for no text: what it costs is shared by the bytes of the document that it ends.
    if (!tokenizer.IsSpecial(static_cast<int32_t>(id))) {
      token_bytes[id] = static_cast<uint32_t>(tokenizer.TokenBytes(static_cast<int32_t>(id)).size());
    }
  }
  return token_bytes;
}

// A name of a model becomes its folder. A run that is resumed has what it needs, although the model may be
// gone.
Status ResolveIfGiven(std::string& model, bool resume) {
  if (model.empty()) return {};
  const Result<std::filesystem::path> path = ResolveModel(model);
  if (path.ok()) model = path->string();
  return path.ok() || resume ? Status() : path.status();
}

Status RunTrain(const TrainFlags& flags) {
  QWEN25_TRY(TrainOptions options, ReadOptions(flags));
  QWEN25_RETURN_IF_ERROR(ResolveIfGiven(options.initial, options.resume));
  QWEN25_RETURN_IF_ERROR(ResolveIfGiven(options.tokenizer, options.resume));
  QWEN25_TRY(std::vector<uint32_t> token_bytes, FitTokenizer(options));
  QWEN25_RETURN_IF_ERROR(options.Validate());
  QWEN25_TRY(TrainData data, OpenTrainData(options, options.vocab_size));
  data.token_bytes = std::move(token_bytes);
  ThreadPool threads(flags.num_threads == 0 ? DefaultNumThreads() : flags.num_threads);
  const InterruptGuard guard;
  QWEN25_TRY(const std::unique_ptr<Trainer> trainer, Trainer::Create(options, std::move(data), threads));
  PrintNotes(trainer->model().remarks());
  const ModelConfig& config = trainer->model().config();
  fmt::print(
      stderr,
      "{} parameters; weights, gradients and optimizer take {}; matrix products run at {:.0f} GFLOP/s\n",
      FormatCount(static_cast<double>(config.NumParameters())),
      FormatBytes(static_cast<double>(trainer->state_bytes())), trainer->peak_flops() / 1e9);
  if (trainer->state().step > 0) fmt::print(stderr, "resuming after step {}\n", trainer->state().step);

  QWEN25_TRY(const TrainSummary summary, RunWithProgress(*trainer, options.output));
  if (summary.last_validation) {
    fmt::print("; validation loss {:.4f}", summary.last_validation->loss);
    if (std::isfinite(summary.last_validation->bits_per_byte)) {
      fmt::print(", {:.4f} bits/byte", summary.last_validation->bits_per_byte);
    }
  }
  fmt::print("\nmodel: {}\nreport: {}\n", summary.model.string(),
             (std::filesystem::path(options.output) / "report.html").string());
  return {};
}

}  // namespace

void AddTrainVerb(CLI::App& app, RunVerb& run) {
  const auto [verb, flags] =
      AddVerb(app, run, "train", "Train a model; Ctrl-C writes a checkpoint, --resume goes on", RunTrain);
  verb->add_option("--recipe", flags->recipe,
                   "A TOML file of settings, e.g. presets/train-nano.toml; flags come on top");
  struct Shorthand {
    const char *flag, *key, *help;
  };
  constexpr Shorthand kShorthands[] = {
      {"-o,--output", "run.output", "Folder of the run: checkpoints, metrics, report, final model"},
      {"--preset", "model.preset", "Shape of a fresh model (qwen25 plan --help lists them)"},
      {"--initial", "model.initial", "Or a model to go on from: its folder or name"},
      {"--data", "data.train", "Token shards to train on, without .bin; several with commas"},
      {"--data-weights", "data.train_weights",
       "Shares of these shards, e.g. 0.7,0.3; default: all are one corpus"},
      {"--validation-data", "data.validation", "Token shards to validate on"},
      {"--tokenizer", "data.tokenizer", "Tokenizer folder; copied into the model"},
      {"--sequence-length", "batch.sequence_length", "Tokens of a sequence"},
      {"--tokens-per-step", "batch.tokens_per_step", "Tokens of an optimizer step"},
      {"--micro-batch-tokens", "batch.micro_batch_tokens", "Tokens that run at once"},
      {"--max-steps", "run.max_steps", "Length of the run in steps,"},
      {"--max-tokens", "run.max_tokens", "or in tokens,"},
      {"--max-minutes", "run.max_minutes", "or in minutes"},
      {"--optimizer", "optimizer.kind", "adamw or muon"},
      {"--learning-rate", "optimizer.learning_rate", "Peak learning rate"},
      {"--seed", "run.seed", "Of weights and data order"},
  };
  flags->shorthands.resize(std::size(kShorthands));
  for (size_t i = 0; i < std::size(kShorthands); ++i) {
    flags->shorthands[i].first = kShorthands[i].key;
    verb->add_option(kShorthands[i].flag, flags->shorthands[i].second, kShorthands[i].help);
  }
  verb->add_option("--set", flags->settings,
                   "Any other setting of a recipe as KEY=VALUE; may be given several times");
  verb->add_flag("--resume", flags->resume, "Go on from the newest checkpoint of the output folder");
  verb->add_option("--threads", flags->num_threads, "Threads; default: every core this process may use")
      ->check(kThreadCount);
  verb->footer(
      "Examples:\n"
      "  qwen25 train --recipe presets/train-nano.toml --data runs/demo/data/train --validation-data \\\n"
      "    runs/demo/data/validation --tokenizer runs/demo/tokenizer --max-minutes 4 -o runs/demo\n"
      "  qwen25 train ... --resume");
}

}  // namespace qwen25

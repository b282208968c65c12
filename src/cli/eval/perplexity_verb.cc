#include <optional>
#include <vector>

#include "base/json.h"
#include "cli/flags/model_flags.h"
#include "cli/terminal/interrupt.h"
#include "cli/terminal/show_progress.h"
#include "cli/verb.h"
#include "eval/text_score.h"
#include "pretrained/calibrated_routing.h"
#include "pretrained/hub/resolve_model.h"
#include "pretrained/load_tokenizer.h"
#include "pretrained/tokenizer_fit.h"

namespace qwen25 {
namespace {

struct PerplexityFlags {
  std::string model, tokenizer;
  std::vector<std::string> files;
  AdapterFlags adapters;
  TextScoreOptions score;
  std::string routing = "auto";
  bool json = false;
};

void Print(const TextScorer& scorer, const TextScoreOptions& options, bool as_json) {
  const TextScore& score = scorer.score();
  if (as_json) {
    const Json json = {{"tokens", score.num_tokens},
                       {"bytes", score.num_bytes},
                       {"loss", score.NatsPerToken()},
                       {"perplexity", score.Perplexity()},
                       {"bits_per_byte", score.BitsPerByte()},
                       {"read_share", scorer.ReadShare()},
                       {"reranked_share", scorer.RerankedShare()},
                       {"window", options.window},
                       {"stride", options.second_halves ? options.window : options.stride}};
    fmt::print("{}\n", json.dump());
    return;
  }
  fmt::print(
      "perplexity {:.4f} (loss {:.4f} nats/token, {:.4f} bits/byte) over {} tokens, {} bytes; window {}, "
      "stride {}\n",
      score.Perplexity(), score.NatsPerToken(), score.BitsPerByte(), score.num_tokens, score.num_bytes,
      options.window, options.second_halves ? options.window : options.stride);
  if (scorer.ReadShare() == 1) return;
  const double reranked = scorer.RerankedShare();
  fmt::print("attention read {:.1f} % of its blocks{}\n", 100 * scorer.ReadShare(),
             reranked > 0 ? fmt::format(", chosen by the keys of {:.1f} %", 100 * reranked) : "");
}

Status RunPerplexity(const PerplexityFlags& flags) {
  QWEN25_TRY(const std::filesystem::path path, ResolveModel(flags.model));
  QWEN25_TRY(const std::vector<AdapterSource> adapters, flags.adapters.Sources());
  const std::span<const AdapterSource> merged =
      flags.adapters.merge ? std::span(adapters) : std::span<const AdapterSource>();
  QWEN25_TRY(const std::unique_ptr<WeightsReader> weights, OpenMergedWeights(path, merged));
  QWEN25_TRY(const Model model, Model::Load(*weights));
  PrintNotes(model.remarks());
  QWEN25_TRY(const Tokenizer tokenizer,
             LoadTokenizer(flags.tokenizer.empty() ? flags.model : flags.tokenizer));
  QWEN25_RETURN_IF_ERROR(CheckTokenizerFits(tokenizer, model.config(), flags.model));
  TextScoreOptions options = flags.score;
  if (!flags.adapters.merge) {
    ThreadPool threads(DefaultNumThreads());
    QWEN25_TRY(options.adapters, LoadAdapterSet(adapters, model.config(), threads));
  }
  QWEN25_TRY(options.routing, ParseRoutingFlag(flags.routing));
  if (!options.routing) {
    QWEN25_TRY(const std::optional<CalibratedRouting> calibrated,
               ReadCalibratedRouting(path, model.config()));
    if (calibrated) {
      options.routing = calibrated->policy;
      PrintNotes(std::vector{CalibrationRemark(path)});
    }
  }
  QWEN25_RETURN_IF_ERROR(options.Complete(model.config()));
  const InterruptGuard guard;
  TextScorer scorer(model, tokenizer, options);
  Progress progress("perplexity", "tokens", options.max_tokens);
  QWEN25_RETURN_IF_ERROR(scorer.AddFiles(flags.files, ShowUntilInterrupt(progress)));
  progress.Finish();
  if (scorer.score().num_tokens == 0) {
    return InvalidArgument("the files hold no text {}",
                           options.second_halves
                               ? fmt::format("of {} tokens, the length of a window", options.window)
                               : "to predict");
  }
  Print(scorer, options, flags.json);
  return {};
}

}  // namespace

void AddPerplexityVerb(CLI::App& app, RunVerb& run) {
  const auto [verb, flags] = AddVerb(
      app, run, "perplexity", "How well a model predicts texts: perplexity and bits per byte", RunPerplexity);
  verb->add_option("-m,--model", flags->model, "Folder, .gguf file or name of a model")->required();
  verb->add_option("files", flags->files, "Text files, or .jsonl files with a \"text\" per line")->required();
  verb->add_option("--tokenizer", flags->tokenizer, "Tokenizer folder, if it is not the model's");
  AddAdapterFlags(*verb, flags->adapters);
  verb->add_option("--window", flags->score.window, "Tokens of one forward pass; default: at most 2048");
  verb->add_option("--stride", flags->score.stride, "Tokens between windows; default: half a window");
  verb->add_flag(
      "--second-halves", flags->score.second_halves,
      "Score as llama-perplexity does: windows that do not overlap, and of each only the tokens of "
      "its second half");
  verb->add_option("--max-tokens", flags->score.max_tokens, "Stop after this many; 0: all");
  AddRoutingFlag(*verb, flags->routing);
  AddKvFlag(*verb, flags->score.kv, "computed",
            "How keys and values are kept, as when text is generated; computed: as they are");
  verb->add_flag("--json", flags->json, "Print one JSON object");
  verb->footer(
      "Examples:\n"
      "  qwen25 perplexity -m runs/demo/model runs/demo/data/documents.validation.jsonl\n"
      "  qwen25 perplexity -m model.gguf wiki.test.raw --second-halves --window 512   # as llama-perplexity");
}

}  // namespace qwen25

#include "cli/flags/speculation_flags.h"

namespace qwen25 {

void AddSpeculationFlags(CLI::App& verb, SpeculationFlags& flags) {
  verb.add_option("--speculate", flags.source,
                  "Propose tokens and verify several in one forward pass; the text stays what it is without. "
                  "lookup, or no value: what followed the same words before. A folder or .gguf file: what "
                  "that smaller model with the same tokens says. Off unless given")
      ->expected(0, 1)
      ->default_str("lookup")
      ->type_name("[lookup|MODEL]");
  verb.add_option("--draft-tokens", flags.draft_tokens, "Most tokens proposed at once")
      ->check(CLI::Range(size_t{1}, Session::kMaxLogitRows - 1))
      ->capture_default_str();
}

Result<LoadedDrafter> LoadDrafter(const SpeculationFlags& flags, const ModelFlags& model,
                                  const LoadedModel& target, const SamplingOptions& sampling) {
  LoadedDrafter loaded;
  if (flags.source.empty()) return loaded;
  if (flags.source == "lookup") {
    loaded.drafter = std::make_unique<LookupDrafter>(target.engine->max_context_tokens());
    return loaded;
  }
  ModelFlags draft_flags = model;
  draft_flags.directory = flags.source;
  QWEN25_TRY(LoadedModel draft, LoadModel(draft_flags, target.engine->shared_threads()));
  if (const auto id = FirstDifferentToken(target.tokenizer, draft.tokenizer)) {
    return InvalidArgument(
        "{}: a draft model must have the model's own tokens, and token {} is \"{}\" there and \"{}\" here; "
        "use a "
        "smaller model of the same family, or --speculate lookup",
        flags.source, *id, draft.tokenizer.TokenBytes(*id), target.tokenizer.TokenBytes(*id));
  }
  loaded.engine = std::move(draft.engine);
  // A decode step reads every weight once.
  const double relative_cost = static_cast<double>(loaded.engine->model().packed_bytes()) /
                               static_cast<double>(target.engine->model().packed_bytes());
  loaded.drafter = std::make_unique<ModelDrafter>(*loaded.engine, sampling,
                                                  target.engine->model().config().vocab_size, relative_cost);
  return loaded;
}

std::string SpeculationSummary(const SpeculationStats& stats) {
  return fmt::format("{} of {} proposed tokens accepted, {:.1f} tokens per forward pass", stats.num_accepted,
                     stats.num_proposed, stats.TokensPerPass());
}

}  // namespace qwen25

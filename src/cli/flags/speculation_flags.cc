#include "cli/flags/speculation_flags.h"

namespace qwen25 {

void AddSpeculationFlags(CLI::App& verb, DraftChoice& choice) {
  verb.add_option("--speculate", choice.source,
                  "Propose tokens and verify several in one forward pass; the text stays what it is without. "
                  "lookup, or no value: what followed the same words before. A folder, .gguf file or "
                  "name: what that smaller model with the same tokens says. Off unless given")
      ->expected(0, 1)
      ->default_str("lookup")
      ->type_name("[lookup|MODEL]");
  verb.add_option("--draft-tokens", choice.draft_tokens, "Most tokens proposed at once")
      ->check(CLI::Range(size_t{1}, Session::kMaxLogitRows - 1))
      ->capture_default_str();
}

Result<LoadedDrafter> LoadDrafter(const DraftChoice& choice, const ModelFlags& model,
                                  const LoadedModel& target, const SamplingOptions& sampling) {
  QWEN25_TRY(const ModelSource source, model.Source());
  QWEN25_TRY(LoadedDrafter drafter, LoadDrafter(choice, source, target, sampling));
  PrintNotes(drafter.remarks);
  return drafter;
}

std::string SpeculationSummary(const SpeculationStats& stats) {
  return fmt::format("{} of {} proposed tokens accepted, {:.1f} tokens per forward pass", stats.num_accepted,
                     stats.num_proposed, stats.TokensPerPass());
}

}  // namespace qwen25

#include "cli/flags/sampling_flags.h"

namespace qwen25 {

SamplingOptions SamplingFlags::Over(const SamplingOptions& defaults) const {
  SamplingOptions options = defaults;
  // Who asks for a kind of sampling wants to sample: a model whose default is greedy must not keep ignoring
  // it.
  if (!temperature && defaults.temperature == 0 && (top_k || top_p || min_p || seed)) options.temperature = 1;
  if (temperature) options.temperature = *temperature;
  if (top_k) options.top_k = *top_k;
  if (top_p) options.top_p = *top_p;
  if (min_p) options.min_p = *min_p;
  if (repetition_penalty) options.repetition_penalty = *repetition_penalty;
  if (seed) options.seed = *seed;
  return options;
}

void AddSamplingFlags(CLI::App& verb, SamplingFlags& flags) {
  verb.add_option("--temperature", flags.temperature,
                  "0: always the most likely token; default: the model's own");
  verb.add_option("--top-k", flags.top_k, "Draw from the k most likely tokens; 0: all");
  verb.add_option("--top-p", flags.top_p, "Draw from the fewest tokens whose probabilities reach p");
  verb.add_option("--min-p", flags.min_p,
                  "Leave out tokens below min-p times the most likely one's probability");
  verb.add_option("--repetition-penalty", flags.repetition_penalty, "Above 1 makes repetition less likely");
  verb.add_option("--seed", flags.seed, "The same seed gives the same text");
}

}  // namespace qwen25

#include "cli/flags/embedder_flags.h"

namespace qwen25 {

void AddEmbedderFlags(CLI::App& verb, EmbedderChoice& choice) {
  verb.add_option("--embedder", choice.embedder,
                  "hashed (words and letter groups, no model); model:FOLDER-OR-NAME; command:PROGRAM (JSON "
                  "lines, docs/memory.md); none");
  verb.add_option("--pooling", choice.pooling,
                  "Of a language model: bidirectional-mean, causal-mean or causal-last (docs/benchmarks.md "
                  "compares them); auto: what its files state, otherwise the first")
      ->capture_default_str();
  verb.add_option("--embed-weights", choice.weights, "Of a model: stored, int8, ... as --weights of chat")
      ->capture_default_str();
  verb.add_option("--window", choice.window, "Of a model: tokens read at a time; longer texts are averaged")
      ->capture_default_str()
      ->check(CLI::Range(1u, 1u << 20));
  verb.add_option("--query-prompt", choice.prompts.query,
                  "Of a model: put before texts to search with; default: what the model states or its family "
                  "is known for (\"query: \" of E5)");
  verb.add_option("--passage-prompt", choice.prompts.passage, "The same for texts to be found");
}

}  // namespace qwen25

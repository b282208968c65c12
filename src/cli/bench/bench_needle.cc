// qwen25 bench needle: whether a model finds a sentence far back in a text, by length and depth.
#include <algorithm>
#include <memory>

#include "base/file.h"
#include "base/json.h"
#include "cli/bench/bench_verb.h"
#include "cli/flags/model_flags.h"
#include "cli/terminal/interrupt.h"
#include "cli/terminal/show_progress.h"
#include "eval/needle_measurement.h"

namespace qwen25 {
namespace {

struct NeedleBenchFlags {
  ModelFlags model;
  NeedleOptions needles;
  std::vector<uint64_t> lengths = {2048, 4096, 8192};
  std::vector<std::string> texts;
  std::string output;         // heat map, SVG; empty: none
  std::string growth_output;  // cost of a token and memory over the longest text, SVG; empty: none
  bool json = false;
};

void Print(const NeedleBenchFlags& flags, const std::vector<RecallScore>& results,
           const std::string& policy) {
  if (flags.json) {
    Json json = {{"policy", policy}, {"histories", flags.needles.histories}, {"results", Json::array()}};
    for (const RecallScore& result : results) {
      json["results"].push_back({{"length", result.length},
                                 {"found", result.NumRight()},
                                 {"right", result.right},
                                 {"read_share", result.read_share},
                                 {"seconds_per_token", result.seconds_per_token},
                                 {"seconds_per_step", result.seconds_per_question},
                                 {"resident_bytes", result.resident_bytes}});
    }
    fmt::print("{}\n", json.dump());
    return;
  }
  fmt::print("policy {}\n{:>10}{:>11}{:>9}{:>14}{:>13}{:>7}  by depth, of {}\n", policy, "length", "found",
             "read", "us per token", "ms per step", "MiB", flags.needles.histories);
  for (const RecallScore& result : results) {
    std::string depths;
    for (const uint32_t count : result.right) depths += fmt::format(" {}", count);
    fmt::print("{:>10}{:>11}{:>7.1f} %{:>14.1f}{:>13.2f}{:>7} {}\n", result.length,
               fmt::format("{} of {}", result.NumRight(), result.right.size() * result.histories),
               100 * result.read_share, 1e6 * result.seconds_per_token, 1e3 * result.seconds_per_question,
               result.resident_bytes >> 20, depths);
  }
}

Status RunNeedleBench(const NeedleBenchFlags& flags) {
  if (flags.lengths.empty() || flags.needles.depths < 1 || flags.needles.histories < 1) {
    return InvalidArgument("--length, --depths and --histories must be at least 1");
  }
  QWEN25_TRY(const std::string book, ReadTexts(flags.texts));
  QWEN25_TRY(const LoadedModel model, LoadModel(flags.model));
  const InterruptGuard guard;
  NeedleOptions options = flags.needles;
  options.book = book;
  std::vector<RecallScore> results;
  for (const uint64_t length : flags.lengths) {
    Progress progress(fmt::format("{} tokens", length), "tokens",
                      length * options.depths * options.histories);
    QWEN25_TRY(RecallScore score,
               MeasureNeedles(*model.engine, model.tokenizer, options, length, ShowUntilInterrupt(progress)));
    results.push_back(std::move(score));
  }
  Print(flags, results, model.engine->routing().ToString());
  if (!flags.growth_output.empty()) {
    QWEN25_RETURN_IF_ERROR(WriteFileAtomically(flags.growth_output, RenderRecallGrowth(results)));
  }
  if (flags.output.empty()) return {};
  return WriteFileAtomically(flags.output, RenderRecallMap(ToRecallMap("Planted sentences found", results,
                                                                       model.engine->routing())));
}

}  // namespace

void AddNeedleBench(CLI::App& verb, RunVerb& run) {
  const auto [what, flags] = AddVerb(
      verb, run, "needle",
      "Whether a model finds a sentence planted in a text, by the text's length and the sentence's depth",
      RunNeedleBench);
  AddModelFlags(*what, flags->model);
  what->add_option("--text", flags->texts,
                   "Files of text to plant the sentence in, back to back, such as books")
      ->delimiter(',')
      ->required();
  AddListFlag(*what, "--length", flags->lengths, "Tokens of the texts, the answer included");
  what->add_option("--depths", flags->needles.depths, "Places of the sentence, one after the other")
      ->capture_default_str();
  what->add_option("--histories", flags->needles.histories,
                   "Parts of the text that each length is tried with")
      ->capture_default_str();
  what->add_option("--seed", flags->needles.seed, "Seed of the numbers that are planted")
      ->capture_default_str();
  what->add_option("-o,--output", flags->output, "Heat map to write, SVG");
  what->add_option("--growth", flags->growth_output,
                   "Chart of a token's cost and of memory over the longest text to write, SVG");
  what->add_flag("--json", flags->json, "Print one JSON object");
  what->footer(
      "Examples:\n"
      "  qwen25 bench needle -m MODEL --text book.txt --length 2048,8192 -o needles.svg\n"
      "  qwen25 bench needle -m MODEL --text book.txt --routing top_k:16,rerank=8\n"
      "  qwen25 bench needle -m MODEL --text a.txt,b.txt --length 100000 --depths 5 --recall-window 4096");
}

}  // namespace qwen25

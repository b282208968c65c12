// qwen25 bench recall: whether a model finds facts far back in a history, by length and depth.
#include <algorithm>
#include <memory>
#include <optional>

#include "base/file.h"
#include "base/json.h"
#include "cli/bench/bench_folder.h"
#include "cli/bench/bench_verb.h"
#include "cli/flags/model_flags.h"
#include "cli/terminal/interrupt.h"
#include "cli/terminal/show_progress.h"
#include "data/recall_task.h"
#include "eval/recall_measurement.h"

namespace qwen25 {
namespace {

struct RecallBenchFlags {
  ModelFlags model;
  RecallMeasurementOptions measurement;
  std::vector<uint64_t> lengths = {1024, 2048, 4096};
  std::string output;               // heat map, SVG; empty: none
  std::string growth_output;        // cost of a token and memory over the longest history, SVG; empty: none
  std::string write_data;           // instead: training documents into this shard
  std::vector<std::string> texts;   // files whose bytes are the filler; empty: counts
  RecallDocumentOptions documents;  // their seed is that of the measurement
  bool json = false;
};

Status WriteDocuments(const RecallBenchFlags& flags, std::string_view filler) {
  RecallDocumentOptions options = flags.documents;
  options.seed = flags.measurement.seed;
  if (options.document_tokens < 16 || options.fact_every < RecallTask::kFactTokens) {
    return InvalidArgument("--document-tokens must be at least 16, --fact-every at least {}",
                           RecallTask::kFactTokens);
  }
  Progress progress("documents", "documents", options.documents);
  return WriteRecallDocuments(flags.write_data, options, filler,
                              [&](uint64_t num_done) { progress.Update(num_done); });
}

void Print(const RecallBenchFlags& flags, const std::vector<RecallScore>& results,
           const std::string& policy) {
  if (flags.json) {
    Json json = {{"policy", policy}, {"histories", flags.measurement.histories}, {"results", Json::array()}};
    for (const RecallScore& result : results) {
      json["results"].push_back({{"length", result.length},
                                 {"accuracy", result.Accuracy()},
                                 {"right", result.right},
                                 {"notes_right", result.notes_right},
                                 {"read_share", result.read_share},
                                 {"seconds_per_token", result.seconds_per_token},
                                 {"seconds_per_question", result.seconds_per_question},
                                 {"resident_bytes", result.resident_bytes}});
    }
    fmt::print("{}\n", json.dump());
    return;
  }
  fmt::print("policy {}\n{:>10}{:>11}{:>9}{:>14}{:>17}{:>7}  by depth, of {}\n", policy, "length", "accuracy",
             "read", "us per token", "ms per question", "MiB", flags.measurement.histories);
  for (const RecallScore& result : results) {
    std::string depths;
    for (const uint32_t count : result.right) depths += fmt::format(" {}", count);
    fmt::print("{:>10}{:>9.1f} %{:>7.1f} %{:>14.1f}{:>17.2f}{:>7} {}\n", result.length,
               100 * result.Accuracy(), 100 * result.read_share, 1e6 * result.seconds_per_token,
               1e3 * result.seconds_per_question, result.resident_bytes >> 20, depths);
    if (flags.measurement.notes > 0) {
      fmt::print("{:>21} of {} in notes\n", result.notes_right,
                 flags.measurement.histories * flags.measurement.notes);
    }
  }
}

Status RunRecallBench(const RecallBenchFlags& flags) {
  QWEN25_TRY(const std::string filler, ReadTexts(flags.texts));
  if (!flags.write_data.empty()) return WriteDocuments(flags, filler);
  if (flags.measurement.dialogues + flags.measurement.notes > 0 && flags.model.recall_window == 0) {
    return InvalidArgument(
        "--dialogues and --notes need --recall-window: a dialogue recalls others, and notes, through it");
  }
  if (flags.model.directory.empty()) return InvalidArgument("give a model with -m, or --write-data");
  if (flags.lengths.empty() || std::ranges::min(flags.lengths) < 16 || flags.measurement.depths < 1 ||
      uint64_t{flags.measurement.depths} + flags.measurement.notes > uint64_t{RecallVocabulary::kNumKeys} ||
      flags.measurement.histories < 1) {
    return InvalidArgument(
        "--length must be at least 16, --depths 1 to {} less --notes, --histories at least 1",
        RecallVocabulary::kNumKeys);
  }
  QWEN25_TRY(const ModelSource source, flags.model.Source());
  std::vector<std::string> remarks;
  QWEN25_TRY(const std::unique_ptr<InferenceEngine> engine, LoadEngine(source, remarks));
  PrintNotes(remarks);
  if (engine->model().config().vocab_size < static_cast<uint32_t>(RecallVocabulary::kSize)) {
    return InvalidArgument("{}: the model has {} tokens and the task {}: train one on --write-data",
                           flags.model.directory, engine->model().config().vocab_size,
                           RecallVocabulary::kSize);
  }
  const InterruptGuard guard;
  RecallMeasurementOptions options = flags.measurement;
  options.filler = filler;
  std::optional<BenchFolder> folder;
  if (options.dialogues + options.notes > 0) {
    QWEN25_TRY(BenchFolder made, BenchFolder::Make("", flags.model.spill_directory));
    options.folder = folder.emplace(std::move(made)).path();
  }
  std::vector<RecallScore> results;
  for (const uint64_t length : flags.lengths) {
    Progress progress(fmt::format("{} tokens", length), "tokens", length * options.histories);
    QWEN25_TRY(RecallScore score, MeasureRecall(*engine, options, length, ShowUntilInterrupt(progress)));
    results.push_back(std::move(score));
  }
  Print(flags, results, engine->routing().ToString());
  if (!flags.growth_output.empty()) {
    QWEN25_RETURN_IF_ERROR(WriteFileAtomically(flags.growth_output, RenderRecallGrowth(results)));
  }
  if (flags.output.empty()) return {};
  return WriteFileAtomically(flags.output,
                             RenderRecallMap(ToRecallMap("Facts recalled", results, engine->routing())));
}

}  // namespace

void AddRecallBench(CLI::App& verb, RunVerb& run) {
  const auto [what, flags] =
      AddVerb(verb, run, "recall",
              "Whether a model finds facts far back in a history, by its length and the depth of the fact",
              RunRecallBench);
  AddModelFlags(*what, flags->model, /*required=*/false);
  AddListFlag(*what, "--length", flags->lengths, "Tokens of the histories");
  what->add_option("--depths", flags->measurement.depths, "Places of facts in a history")
      ->capture_default_str();
  what->add_option("--histories", flags->measurement.histories, "Histories of each length")
      ->capture_default_str();
  what->add_option(
          "--dialogues", flags->measurement.dialogues,
          "Tell each history in this many dialogues, which are stored, and ask in a new one that recalls "
          "them; 0: ask in the same dialogue")
      ->capture_default_str();
  what->add_option("--notes", flags->measurement.notes,
                   "More facts, each stored as a note beside the history and recalled by attention")
      ->capture_default_str();
  what->add_option("--seed", flags->measurement.seed, "Seed of the histories or documents")
      ->capture_default_str();
  what->add_option("-o,--output", flags->output, "Heat map to write, SVG");
  what->add_option("--growth", flags->growth_output,
                   "Chart of a token's cost and of memory over the longest history to write, SVG");
  what->add_option("--text", flags->texts,
                   "Files whose bytes stand between the facts, back to back; default: numbers that count up")
      ->delimiter(',');
  what->add_option("--write-data", flags->write_data, "Instead, write training documents into this shard");
  what->add_option("--documents", flags->documents.documents, "Number of documents")->capture_default_str();
  what->add_option("--document-tokens", flags->documents.document_tokens, "Tokens of each document")
      ->capture_default_str();
  what->add_option("--fact-every", flags->documents.fact_every, "Tokens to a fact")->capture_default_str();
  what->add_flag("--json", flags->json, "Print one JSON object");
  what->footer(
      "Examples:\n  qwen25 bench recall --write-data recall/train --documents 20000 --document-tokens 512\n"
      "  qwen25 bench recall -m recall/model --length 1024,4096 --routing top_k:4,dense_below=0 -o "
      "recall.svg\n"
      "  qwen25 bench recall -m recall/model --length 100000 --recall-window 1024 --text book.txt");
}

}  // namespace qwen25

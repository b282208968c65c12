// qwen25 bench retrieval: how well and how fast the notes are searched.
#include <algorithm>
#include <map>

#include "base/clock.h"
#include "base/json.h"
#include "base/quantile.h"
#include "cli/bench/bench_folder.h"
#include "cli/bench/bench_verb.h"
#include "cli/flags/embedder_flags.h"
#include "cli/flags/memory_flags.h"
#include "cli/flags/model_flags.h"
#include "cli/terminal/interrupt.h"
#include "cli/terminal/show_progress.h"
#include "eval/retrieval_measurement.h"

namespace qwen25 {
namespace {

struct RetrievalBenchFlags {
  EmbedderChoice embedder;
  std::string set;  // folder with notes.jsonl and questions.jsonl
  // Where the notes are put, and taken from if they are there, and the key. Folder empty: a temporary one.
  MemoryPlace memory;
  size_t max_questions = 0;  // 0: all
  bool json = false;
};

struct Mode {
  const char* name;
  SearchMode mode;
};
constexpr Mode kModes[] = {
    {"words", SearchMode::kWords}, {"vectors", SearchMode::kVectors}, {"hybrid", SearchMode::kHybrid}};

// Those of a former run with this set are taken as they are.
Status AddNotesIfNew(const RetrievalSet& set, NoteStore& store) {
  QWEN25_TRY(const NoteStats stats, store.Stats());
  if (stats.notes == set.notes.size()) return {};
  if (stats.notes != 0) {
    return InvalidArgument(
        "--memory holds {} notes and the set {}: name an empty folder, or the one of a "
        "former run with this set",
        stats.notes, set.notes.size());
  }
  Progress progress("add", "notes", set.notes.size());
  QWEN25_RETURN_IF_ERROR(AddNotes(set, store, ShowUntilInterrupt(progress)));
  progress.Update(set.notes.size());
  return {};
}

void PrintTable(const std::map<std::string, SearchMeasurement>& results) {
  fmt::print("| questions | number | search | recall@1 | recall@5 | recall@10 | MRR@10 |\n");
  fmt::print("| --- | ---: | --- | ---: | ---: | ---: | ---: |\n");
  for (const auto& [kind, first] : results.begin()->second.scores) {
    if (first.questions() == 0) continue;
    for (const Mode& mode : kModes) {
      const RetrievalScore& score = results.at(mode.name).scores.at(kind);
      fmt::print("| {} | {} | {} | {:.3f} | {:.3f} | {:.3f} | {:.3f} |\n", kind, score.questions(), mode.name,
                 score.recall(0), score.recall(1), score.recall(2), score.mean_reciprocal_rank());
    }
  }
  fmt::print(
      "\n| search | p50 ms | p99 ms | answerable above unanswerable |\n| --- | ---: | ---: | ---: |\n");
  for (const Mode& mode : kModes) {
    const SearchMeasurement& result = results.at(mode.name);
    const std::string above = result.unanswered.empty()
                                  ? "-"
                                  : fmt::format("{:.3f}", ChanceAbove(result.answered, result.unanswered));
    fmt::print("| {} | {:.2f} | {:.2f} | {} |\n", mode.name, Quantile(result.milliseconds, 0.5),
               Quantile(result.milliseconds, 0.99), above);
  }
}

void PrintChat(const ChatMeasurement& result) {
  fmt::print("\n| in a chat | number | notes per question | with any | with a right one |\n");
  fmt::print("| --- | ---: | ---: | ---: | ---: |\n");
  const auto row = [](const char* name, const ChatMeasurement::Kind& kind) {
    if (kind.questions == 0) return;
    const auto share = [&](size_t count) {
      return static_cast<double>(count) / static_cast<double>(kind.questions);
    };
    fmt::print("| {} | {} | {:.2f} | {:.3f} | {:.3f} |\n", name, kind.questions, share(kind.notes),
               share(kind.any), share(kind.right));
  };
  row("answerable", result.answerable);
  row("unanswerable", result.unanswerable);
}

void PrintJson(const std::map<std::string, SearchMeasurement>& results, const std::string& embedder,
               const NoteStats& stats) {
  Json json = {{"embedder", embedder}, {"notes", stats.notes}, {"chunks", stats.chunks}};
  for (const Mode& mode : kModes) {
    const SearchMeasurement& result = results.at(mode.name);
    Json& out = json[mode.name];
    out["p50_ms"] = Quantile(result.milliseconds, 0.5);
    out["p99_ms"] = Quantile(result.milliseconds, 0.99);
    if (!result.unanswered.empty()) {
      out["answerable_above"] = ChanceAbove(result.answered, result.unanswered);
    }
    for (const auto& [kind, score] : result.scores) {
      out["kinds"][kind] = {{"questions", score.questions()},
                            {"recall@1", score.recall(0)},
                            {"recall@5", score.recall(1)},
                            {"recall@10", score.recall(2)},
                            {"mrr@10", score.mean_reciprocal_rank()}};
    }
  }
  fmt::print("{}\n", DumpJson(json, 2));
}

Status RunRetrievalBench(const RetrievalBenchFlags& flags) {
  if (flags.embedder.embedder == "none") {
    return InvalidArgument("--embedder none: this compares words with vectors, and needs vectors");
  }
  QWEN25_TRY(const RetrievalSet set, RetrievalSet::Load(flags.set));
  QWEN25_TRY(const LoadedEmbedder embedder, LoadEmbedder(flags.embedder));
  PrintNotes(embedder.remarks());
  NoteStoreOptions options;
  QWEN25_TRY(options.key, flags.memory.Key());
  QWEN25_TRY(const BenchFolder folder, BenchFolder::Make(flags.memory.folder));
  const InterruptGuard guard;
  QWEN25_TRY(const auto store, NoteStore::Open(folder.path(), embedder.embedder.get(), options));
  const double start = NowSeconds();
  QWEN25_RETURN_IF_ERROR(AddNotesIfNew(set, *store));
  const double added = NowSeconds();
  const size_t all = set.questions.size();
  std::map<std::string, SearchMeasurement> results;
  for (const Mode& mode : kModes) {
    Progress progress(mode.name, "questions",
                      flags.max_questions == 0 ? all : std::min(flags.max_questions, all));
    QWEN25_TRY(results[mode.name],
               MeasureSearch(*store, set, mode.mode, flags.max_questions, ShowUntilInterrupt(progress)));
  }
  QWEN25_TRY(const NoteStats stats, store->Stats());
  const std::string name = embedder.embedder->id().ToString();
  if (flags.json) {
    PrintJson(results, name, stats);
    return {};
  }
  QWEN25_TRY(const ChatMeasurement chat, MeasureChat(*store, set, flags.max_questions,
                                                     [](size_t) { return !InterruptGuard::requested(); }));
  fmt::print("{} notes, {} chunks, {:.1f} MB; {}; added in {:.1f} s\n\n", stats.notes, stats.chunks,
             static_cast<double>(stats.file_bytes) / 1e6, name, added - start);
  PrintTable(results);
  PrintChat(chat);
  return {};
}

}  // namespace

void AddRetrievalBench(CLI::App& verb, RunVerb& run) {
  const auto [what, flags] =
      AddVerb(verb, run, "retrieval",
              "How well notes are found: by words, by vectors and by both, and how fast", RunRetrievalBench);
  what->add_option("set", flags->set,
                   "Folder with notes.jsonl and questions.jsonl (bench/make_retrieval_sets.py makes some)")
      ->required();
  what->add_option("--memory", flags->memory.folder,
                   "Put the notes there and find them again next time; default: a temporary folder");
  AddMemoryKeyFlag(*what, flags->memory);
  what->add_option("--questions", flags->max_questions, "Ask only this many");
  what->add_flag("--json", flags->json, "Print one JSON object");
  AddEmbedderFlags(*what, flags->embedder);
  what->footer(
      "Examples:\n  qwen25 bench retrieval sets/books --embedder hashed\n"
      "  qwen25 bench retrieval sets/dialogues --embedder model:Qwen2.5-0.5B --pooling causal-mean");
}

}  // namespace qwen25

// qwen25 bench retrieval: how well and how fast the notes are searched.
#include <algorithm>
#include <map>
#include <set>

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/progress.h"
#include "base/quantile.h"
#include "cli/bench/bench_folder.h"
#include "cli/bench/bench_verb.h"
#include "cli/flags/embedder_flags.h"
#include "cli/flags/memory_flags.h"
#include "cli/flags/model_flags.h"
#include "cli/terminal/interrupt.h"
#include "eval/retrieval_set.h"
#include "knowledge/note_store.h"
#include "knowledge/recalled_notes.h"

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

namespace fs = std::filesystem;

constexpr size_t kLimit = 10;      // results of a search
constexpr size_t kAddBatch = 256;  // notes per transaction
constexpr const char* kAll = "all";

struct Mode {
  const char* name;
  SearchMode mode;
};
constexpr Mode kModes[] = {
    {"words", SearchMode::kWords}, {"vectors", SearchMode::kVectors}, {"hybrid", SearchMode::kHybrid}};

// What one mode found.
struct ModeResult {
  std::map<std::string, RetrievalScore> scores;  // by kind, and kAll
  std::vector<double> milliseconds;
  std::vector<double> answered, unanswered;  // best scores of questions with and without an answer
};

// What a chat would put before the questions.
struct ChatResult {
  struct Kind {
    size_t questions = 0, notes = 0, any = 0, right = 0;
  };
  Kind answerable, unanswerable;
};

Status AddNotes(const RetrievalSet& set, NoteStore& store) {
  QWEN25_TRY(const NoteStats stats, store.Stats());
  if (stats.notes == set.notes.size()) return {};
  if (stats.notes != 0) {
    return InvalidArgument(
        "--memory holds {} notes and the set {}: name an empty folder, or the one of a "
        "former run with this set",
        stats.notes, set.notes.size());
  }
  std::map<std::string, int64_t> ids;
  Progress progress("add", "notes", set.notes.size());
  for (size_t begin = 0; begin < set.notes.size();) {
    if (InterruptGuard::requested()) return Cancelled("stopped while the notes were added");
    std::vector<NewNote> batch;
    size_t end = begin;
    // A note that supersedes another comes behind it in a batch of its own.
    for (; end < set.notes.size() && batch.size() < kAddBatch; ++end) {
      const RetrievalNote& note = set.notes[end];
      if (!note.supersedes.empty() && !ids.contains(note.supersedes)) break;
      NewNote added;
      added.text = note.text;
      added.title = note.title;
      added.name_space = note.name_space;
      added.source = note.id;
      added.created_ms = note.created_ms;
      if (!note.supersedes.empty()) added.supersedes = ids[note.supersedes];
      batch.push_back(std::move(added));
    }
    QWEN25_TRY(const std::vector<int64_t> added, store.AddAll(batch));
    for (size_t i = 0; i < added.size(); ++i) ids[set.notes[begin + i].id] = added[i];
    begin = end;
    progress.Update(end);
  }
  return {};
}

class RetrievalBench {
 public:
  RetrievalBench(const RetrievalBenchFlags& flags, const RetrievalSet& set, NoteStore& store)
      : flags_(flags), set_(set), store_(store) {}

  Status Run(const Mode& mode, ModeResult& result) {
    const size_t count = num_questions();
    Progress progress(mode.name, "questions", count);
    // The first of each namespace reads or builds its graph; that is not part of searching.
    for (const RetrievalQuestion& question : set_.questions) {
      if (warmed_.insert(question.name_space).second) {
        QWEN25_RETURN_IF_ERROR(store_.Search(SearchOf(question, SearchMode::kVectors)).status());
      }
    }
    for (size_t i = 0; i < count; ++i) {
      if (InterruptGuard::requested()) return Cancelled("stopped after {} of {} questions", i, count);
      const RetrievalQuestion& question = set_.questions[i];
      const double start = NowSeconds();
      QWEN25_TRY(const std::vector<NoteHit> hits, store_.Search(SearchOf(question, mode.mode)));
      result.milliseconds.push_back((NowSeconds() - start) * 1e3);
      const double best = hits.empty() ? 0 : BestScore(mode.mode, hits);
      (question.relevant.empty() ? result.unanswered : result.answered).push_back(best);
      const std::vector<size_t> ranks = RanksOf(question, hits);
      result.scores[question.kind].Add(ranks);
      result.scores[kAll].Add(ranks);
      progress.Update(i + 1);
    }
    return {};
  }

  Status RunChat(ChatResult& result) {
    for (size_t i = 0; i < num_questions(); ++i) {
      if (InterruptGuard::requested())
        return Cancelled("stopped after {} of {} questions", i, num_questions());
      const RetrievalQuestion& question = set_.questions[i];
      RecallOptions options;
      options.namespaces = {question.name_space};
      QWEN25_TRY(const std::vector<RecalledNote> notes, RecallNotes(store_, question.query, options));
      std::vector<NoteHit> hits;
      for (const RecalledNote& note : notes) hits.push_back(note.hit);
      ChatResult::Kind& kind = question.relevant.empty() ? result.unanswerable : result.answerable;
      ++kind.questions;
      kind.notes += hits.size();
      kind.any += hits.empty() ? 0 : 1;
      kind.right +=
          std::ranges::any_of(RanksOf(question, hits), [](size_t rank) { return rank != 0; }) ? 1 : 0;
    }
    return {};
  }

 private:
  size_t num_questions() const {
    return flags_.max_questions == 0 ? set_.questions.size()
                                     : std::min(flags_.max_questions, set_.questions.size());
  }
  NoteSearch SearchOf(const RetrievalQuestion& question, SearchMode mode) const {
    NoteSearch search;
    search.query = question.query;
    search.namespaces = {question.name_space};
    search.mode = mode;
    search.limit = kLimit;
    return search;
  }
  static double BestScore(SearchMode mode, const std::vector<NoteHit>& hits) {
    double best = 0;
    for (const NoteHit& hit : hits) {
      best = std::max(best, mode == SearchMode::kWords     ? hit.bm25
                            : mode == SearchMode::kVectors ? hit.cosine
                                                           : hit.bm25 * std::max(hit.cosine, 0.0));
    }
    return best;
  }

  const RetrievalBenchFlags& flags_;
  const RetrievalSet& set_;
  NoteStore& store_;
  std::set<std::string> warmed_;
};

void PrintTable(const std::map<std::string, ModeResult>& results) {
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
    const ModeResult& result = results.at(mode.name);
    const std::string above = result.unanswered.empty()
                                  ? "-"
                                  : fmt::format("{:.3f}", ChanceAbove(result.answered, result.unanswered));
    fmt::print("| {} | {:.2f} | {:.2f} | {} |\n", mode.name, Quantile(result.milliseconds, 0.5),
               Quantile(result.milliseconds, 0.99), above);
  }
}

void PrintChat(const ChatResult& result) {
  fmt::print("\n| in a chat | number | notes per question | with any | with a right one |\n");
  fmt::print("| --- | ---: | ---: | ---: | ---: |\n");
  const auto row = [](const char* name, const ChatResult::Kind& kind) {
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

void PrintJson(const std::map<std::string, ModeResult>& results, const std::string& embedder,
               const NoteStats& stats) {
  Json json = {{"embedder", embedder}, {"notes", stats.notes}, {"chunks", stats.chunks}};
  for (const Mode& mode : kModes) {
    const ModeResult& result = results.at(mode.name);
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
  fmt::print("{}\n", json.dump(2, ' ', false, Json::error_handler_t::replace));
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
  QWEN25_RETURN_IF_ERROR(AddNotes(set, *store));
  const double added = NowSeconds();
  RetrievalBench bench(flags, set, *store);
  std::map<std::string, ModeResult> results;
  for (const Mode& mode : kModes) QWEN25_RETURN_IF_ERROR(bench.Run(mode, results[mode.name]));
  QWEN25_TRY(const NoteStats stats, store->Stats());
  const std::string name = embedder.embedder->id().ToString();
  if (flags.json) {
    PrintJson(results, name, stats);
    return {};
  }
  ChatResult chat;
  QWEN25_RETURN_IF_ERROR(bench.RunChat(chat));
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

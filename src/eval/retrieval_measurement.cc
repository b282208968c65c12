#include "eval/retrieval_measurement.h"

#include <algorithm>
#include <cstdint>
#include <set>
#include <utility>

#include "base/clock.h"
#include "knowledge/recalled_notes.h"

namespace qwen25 {
namespace {

constexpr size_t kLimit = 10;      // results of a search
constexpr size_t kAddBatch = 256;  // notes per transaction

NoteSearch SearchOf(const RetrievalQuestion& question, SearchMode mode) {
  NoteSearch search;
  search.query = question.query;
  search.namespaces = {question.name_space};
  search.mode = mode;
  search.limit = kLimit;
  return search;
}

double BestScore(SearchMode mode, const std::vector<NoteHit>& hits) {
  double best = 0;
  for (const NoteHit& hit : hits) {
    best = std::max(best, mode == SearchMode::kWords     ? hit.bm25
                          : mode == SearchMode::kVectors ? hit.cosine
                                                         : hit.bm25 * std::max(hit.cosine, 0.0));
  }
  return best;
}

// The first search in a namespace reads or builds its graph, which is not part of searching.
Status WarmUp(NoteStore& store, const RetrievalSet& set) {
  std::set<std::string> warmed;
  for (const RetrievalQuestion& question : set.questions) {
    if (warmed.insert(question.name_space).second) {
      QWEN25_RETURN_IF_ERROR(store.Search(SearchOf(question, SearchMode::kVectors)).status());
    }
  }
  return {};
}

// Calls ask(question) for the first `max_questions`, 0: all.
template <typename Ask>
Status ForEachQuestion(const RetrievalSet& set, size_t max_questions, const RetrievalProgress& progress,
                       const Ask& ask) {
  const size_t all = set.questions.size(), count = max_questions == 0 ? all : std::min(max_questions, all);
  for (size_t i = 0; i <= count; ++i) {
    if (progress && !progress(i)) return Cancelled("stopped after {} of {} questions", i, count);
    if (i < count) QWEN25_RETURN_IF_ERROR(ask(set.questions[i]));
  }
  return {};
}

}  // namespace

Status AddNotes(const RetrievalSet& set, NoteStore& store, const RetrievalProgress& progress) {
  std::map<std::string, int64_t> ids;
  for (size_t begin = 0; begin < set.notes.size();) {
    if (progress && !progress(begin)) return Cancelled("stopped while the notes were added");
    std::vector<NewNote> batch;
    size_t end = begin;
    // A note that supersedes another follows it in a batch of its own.
    for (; end < set.notes.size() && batch.size() < kAddBatch; ++end) {
      const RetrievalNote& note = set.notes[end];
      if (!note.supersedes.empty() && !ids.contains(note.supersedes)) break;
      NewNote added;
      added.text = note.text;
      added.title = note.title;
      added.speaker = note.speaker;
      added.session = note.session;
      added.name_space = note.name_space;
      added.source = note.id;
      added.created_ms = note.created_ms;
      if (!note.supersedes.empty()) added.supersedes = ids[note.supersedes];
      batch.push_back(std::move(added));
    }
    QWEN25_TRY(const std::vector<int64_t> added, store.AddAll(batch));
    for (size_t i = 0; i < added.size(); ++i) ids[set.notes[begin + i].id] = added[i];
    begin = end;
  }
  return {};
}

Result<SearchMeasurement> MeasureSearch(NoteStore& store, const RetrievalSet& set, SearchMode mode,
                                        size_t max_questions, const RetrievalProgress& progress) {
  QWEN25_RETURN_IF_ERROR(WarmUp(store, set));
  SearchMeasurement result;
  const auto ask = [&](const RetrievalQuestion& question) -> Status {
    const double start = NowSeconds();
    QWEN25_TRY(const std::vector<NoteHit> hits, store.Search(SearchOf(question, mode)));
    result.milliseconds.push_back((NowSeconds() - start) * 1e3);
    (question.relevant.empty() ? result.unanswered : result.answered).push_back(BestScore(mode, hits));
    const std::vector<size_t> ranks = RanksOf(question, hits);
    result.scores[question.kind].Add(ranks);
    result.scores[SearchMeasurement::kAll].Add(ranks);
    return {};
  };
  QWEN25_RETURN_IF_ERROR(ForEachQuestion(set, max_questions, progress, ask));
  return result;
}

Result<ChatMeasurement> MeasureChat(NoteStore& store, const RetrievalSet& set, size_t max_questions,
                                    const RetrievalProgress& progress) {
  ChatMeasurement result;
  const auto ask = [&](const RetrievalQuestion& question) -> Status {
    RecallOptions options;
    options.namespaces = {question.name_space};
    QWEN25_TRY(const std::vector<RecalledNote> notes, RecallNotes(store, question.query, options));
    std::vector<NoteHit> hits;
    for (const RecalledNote& note : notes) hits.push_back(note.hit);
    ChatMeasurement::Kind& kind = question.relevant.empty() ? result.unanswerable : result.answerable;
    ++kind.questions;
    kind.notes += hits.size();
    kind.any += hits.empty() ? 0 : 1;
    kind.right += std::ranges::any_of(RanksOf(question, hits), [](size_t rank) { return rank != 0; }) ? 1 : 0;
    return {};
  };
  QWEN25_RETURN_IF_ERROR(ForEachQuestion(set, max_questions, progress, ask));
  return result;
}

}  // namespace qwen25

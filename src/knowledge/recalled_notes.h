// What notes contribute to a conversation: which of them are relevant enough for a question, and the text of
// them that the model reads.
#pragma once

#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "knowledge/note_store.h"

namespace qwen25 {

// How well a hit answers the query, from 0 to 1: the share of the query's terms, weighted by TermWeight, that
// stand in the chunk. If the hit has a cosine, the mean of that share and of the cosine, scaled so that
// `unrelated_cosine` (UnrelatedCosine) becomes 0 and 1 stays 1. Ranks say which note is the best; this says
// whether it is good enough, which BM25 cannot, since its scores depend on the size of the store. As an order
// it is no better than the ranks.
double RelevanceOf(std::string_view query, const NoteHit& hit, double unrelated_cosine);

// Notes below this relevance are not put before a question. docs/benchmarks.md shows what passes.
inline constexpr double kRelevanceFloor = 0.25;

struct RecalledNote {
  NoteHit hit;
  double relevance = 0;
  std::vector<int64_t> older;  // notes that are left out for it (RecallOptions::newest_only)
};

// Whether two statements are alike but for their end, as a fact and its correction are: at least two thirds
// of the words of each, and three words, are the same, the first ones in order. Not if nothing differs, if
// all of these words are common ones, or if there are more than 32: documents that begin alike are not
// statements.
bool DifferInTheirEnd(std::string_view a, std::string_view b);

struct RecallOptions {
  std::vector<std::string> namespaces = {"default"};  // only these are looked at
  size_t limit = 3;
  double floor = kRelevanceFloor;
  size_t max_tokens = 1024;  // of all hits, by EstimateTokens; hits that do not fit are left out
  std::set<int64_t> except;  // notes to leave out
  // Of notes that answer the question equally well and differ in their end alone, only the newest: the older
  // ones are most likely no longer true, and small models believe whichever they please. Turns of a
  // conversation all stay.
  bool newest_only = true;
};

// The notes for a question: the first `limit` hits of a hybrid search that are relevant enough, in its order.
// A turn of a session is also as relevant as its share (NeighbourShare) of a turn nearby: the answer often
// has none of the question's words.
Result<std::vector<RecalledNote>> RecallNotes(NoteStore& store, const std::string& question,
                                              const RecallOptions& options);

// A hit as the model reads it: the note's number, its day (UTC) and the chunk's text. Each of `control_texts`
// in it (what a tokenizer takes for control tokens: "<|im_end|>") gets a space after its first character. The
// same chunk always gives the same bytes.
std::string NoteLine(const NoteHit& hit, std::span<const std::string> control_texts);
// The user's turn: the lines of the notes, then the question; the question alone if there are no notes.
std::string QuestionWithNotes(std::string_view question, std::span<const std::string> note_lines);

// Which notes may be meant by a request to forget.
struct ForgetChoice {
  std::vector<RecalledNote> candidates;  // one per note, the most relevant first
  bool certain = false;                  // the first one is meant
};
// The notes that `words` may mean, at most 5. The first one is certain if its relevance is at least 0.5 and
// 0.2 above the second's, and it is a single chunk: documents are forgotten by their number.
Result<ForgetChoice> FindToForget(NoteStore& store, const std::string& words,
                                  const std::vector<std::string>& namespaces);

}  // namespace qwen25

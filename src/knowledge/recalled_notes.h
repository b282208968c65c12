// What the notes contribute to a conversation: which of them are relevant enough for a question, and the text
// that the model reads.
#pragma once

#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "knowledge/note_store.h"

namespace qwen25 {

// How much of the query a hit answers, from 0 to 1: the mean of the share of the query's terms that stand in
// the chunk (each weighing TermWeight) and of the cosine, where the hit has one, as its share of the way from
// `unrelated_cosine` (UnrelatedCosine, below 1) to 1. Ranks say which note is the best; this says whether it
// is any good, which BM25 cannot: its scores depend on the size of the store. It is no better order than
// theirs.
double RelevanceOf(std::string_view query, const NoteHit& hit, double unrelated_cosine);

// Below this a note is not put before a question. docs/benchmarks.md: what it lets through.
inline constexpr double kRelevanceFloor = 0.25;

struct RecalledNote {
  NoteHit hit;
  double relevance = 0;
};

struct RecallOptions {
  std::vector<std::string> namespaces = {"default"};  // only these are looked at
  size_t limit = 3;
  double floor = kRelevanceFloor;
  size_t max_tokens = 1024;  // of all together, by EstimateTokens; what does not fit is left out
  std::set<int64_t> except;  // notes that are not wanted
};

// The notes for a question: the best of a hybrid search that are relevant, in its order.
Result<std::vector<RecalledNote>> RecallNotes(NoteStore& store, const std::string& question,
                                              const RecallOptions& options);

// One note as the model reads it: its number, its day (UTC) and its text, without `control_texts` (what a
// tokenizer would take for more than text: "<|im_end|>"), each of which gets a space after its first
// character. The same note always gives the same bytes.
std::string NoteLine(const NoteHit& hit, std::span<const std::string> control_texts);
// The user's turn: the lines of the notes, then the question. Without notes it is the question itself.
std::string QuestionWithNotes(std::string_view question, std::span<const std::string> note_lines);

// What words that are to be forgotten mean.
struct ForgetChoice {
  std::vector<RecalledNote> candidates;  // one per note, the most relevant first
  bool certain = false;                  // the first one is meant
};
// The first is meant where it covers at least half of the words and no other note comes near it, and where it
// is a single chunk: documents are forgotten by their number.
Result<ForgetChoice> FindToForget(NoteStore& store, const std::string& words,
                                  const std::vector<std::string>& namespaces);

}  // namespace qwen25

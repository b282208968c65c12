// A test set for search: notes, questions about them, and the places of the answers.
#pragma once

#include <array>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "knowledge/note.h"

namespace qwen25 {

struct RetrievalNote {
  std::string id, text, title, speaker, session;
  std::string name_space = "default";
  std::string supersedes;  // the id of an earlier note that this one replaces, or empty
  int64_t created_ms = 0;
};

struct RelevantPlace {
  std::string note;                // its id
  std::optional<TextRange> range;  // bytes of the note; absent: all of it
};

struct RetrievalQuestion {
  std::string query;
  std::string kind;  // results are reported for each kind
  std::string name_space = "default";
  std::vector<RelevantPlace> relevant;  // all places that the answer needs; empty: the notes do not answer it
};

struct RetrievalSet {
  std::vector<RetrievalNote> notes;
  std::vector<RetrievalQuestion> questions;

  // Reads notes.jsonl and questions.jsonl in a folder (docs/memory.md). Errors name file, line and member.
  static Result<RetrievalSet> Load(const std::filesystem::path& folder);
};

// The rank of each relevant place among `hits`, from 1; 0: not found. NoteHit::source must be the id of the
// hit's note. A place with a range is found by a hit that covers at least half of it.
std::vector<size_t> RanksOf(const RetrievalQuestion& question, std::span<const NoteHit> hits);

// Averages over the questions that have an answer.
class RetrievalScore {
 public:
  static constexpr std::array<size_t, 3> kDepths = {1, 5, 10};

  // Adds a question by its ranks (RanksOf); ignored if it has no relevant places.
  void Add(std::span<const size_t> ranks);

  size_t questions() const { return questions_; }
  // Recall at kDepths[i]: the mean share of a question's relevant places among the first kDepths[i] hits.
  double recall(size_t i) const { return questions_ == 0 ? 0 : recall_[i] / static_cast<double>(questions_); }
  // The mean of 1 / (best rank of a relevant place), or of 0 if no place was found.
  double mean_reciprocal_rank() const {
    return questions_ == 0 ? 0 : reciprocal_ / static_cast<double>(questions_);
  }

 private:
  size_t questions_ = 0;
  std::array<double, 3> recall_ = {};
  double reciprocal_ = 0;
};

// The probability that a random element of `higher` is greater than a random element of `lower`, equal ones
// counting half (the area under the ROC curve). 0.5 if either is empty.
double ChanceAbove(std::vector<double> higher, std::vector<double> lower);

}  // namespace qwen25

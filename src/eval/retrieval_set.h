// A test of search: notes, questions about them, and where the answers stand.
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
  std::string id, text, title;
  std::string name_space = "default";
  std::string supersedes;  // the id of an earlier note of the namespace that is no longer true, or empty
  int64_t created_ms = 0;
};

struct RelevantPlace {
  std::string note;                // its id
  std::optional<TextRange> range;  // bytes of the note; absent: all of it
};

struct RetrievalQuestion {
  std::string query;
  std::string kind;  // what it tests, for a line of its own in the result
  std::string name_space = "default";
  std::vector<RelevantPlace> relevant;  // all that the answer needs; none: the notes do not say
};

struct RetrievalSet {
  std::vector<RetrievalNote> notes;
  std::vector<RetrievalQuestion> questions;

  // Reads notes.jsonl and questions.jsonl of a folder (docs/memory.md). Errors name file, line and member.
  static Result<RetrievalSet> Load(const std::filesystem::path& folder);
};

// The rank of each relevant place among `hits`, from 1; 0: not there. A hit's source is the id of its note;
// of a place with a range it must hold at least half.
std::vector<size_t> RanksOf(const RetrievalQuestion& question, std::span<const NoteHit> hits);

// Sums over questions that have an answer.
class RetrievalScore {
 public:
  static constexpr std::array<size_t, 3> kDepths = {1, 5, 10};

  void Add(std::span<const size_t> ranks);

  size_t questions() const { return questions_; }
  // The mean share of a question's relevant places among the first kDepths[i] hits.
  double recall(size_t i) const { return questions_ == 0 ? 0 : recall_[i] / static_cast<double>(questions_); }
  // The mean of 1 / the best rank of a relevant place, 0 where none was found.
  double mean_reciprocal_rank() const {
    return questions_ == 0 ? 0 : reciprocal_ / static_cast<double>(questions_);
  }

 private:
  size_t questions_ = 0;
  std::array<double, 3> recall_ = {};
  double reciprocal_ = 0;
};

// The chance that a random one of `higher` is above a random one of `lower`; equal ones count half. 0.5 where
// either is empty.
double ChanceAbove(std::vector<double> higher, std::vector<double> lower);

}  // namespace qwen25

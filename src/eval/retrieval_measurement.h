// How well notes are found for the questions of a set: by a search, and by a chat.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "eval/retrieval_set.h"
#include "knowledge/note_store.h"

namespace qwen25 {

// Called with the notes or questions that are done; returning false stops (kCancelled).
using RetrievalProgress = std::function<bool(size_t num_done)>;

// Adds the notes of a set to an empty store. Their ids in the set become their sources, which RanksOf goes
// by.
Status AddNotes(const RetrievalSet& set, NoteStore& store, const RetrievalProgress& progress = nullptr);

// What searches in one mode found.
struct SearchMeasurement {
  static constexpr const char* kAll = "all";

  std::map<std::string, RetrievalScore> scores;  // by kind of question, and kAll
  std::vector<double> milliseconds;              // of each question
  std::vector<double> answered, unanswered;      // best scores of questions with and without an answer
};

// Asks the first `max_questions` of a set (0: all), each in its namespace.
Result<SearchMeasurement> MeasureSearch(NoteStore& store, const RetrievalSet& set, SearchMode mode,
                                        size_t max_questions, const RetrievalProgress& progress = nullptr);

// What a chat would put before the same questions.
struct ChatMeasurement {
  struct Kind {
    size_t questions = 0, notes = 0;
    size_t any = 0, right = 0;  // questions with any note, and with one that answers
  };
  Kind answerable, unanswerable;
};
Result<ChatMeasurement> MeasureChat(NoteStore& store, const RetrievalSet& set, size_t max_questions,
                                    const RetrievalProgress& progress = nullptr);

}  // namespace qwen25

// Synthetic histories in which facts are stated and asked for again: associative recall, the task that shows
// whether attention finds what lies far back. Tokens are numbers of a vocabulary of their own.
//
//   0             end of text
//   1 key value   states a fact: FACT key value
//   2 key value   asks for it and gives the answer: ASK key value
//   filler        64 tokens that mostly count upwards, as predictable as text is
// Between facts and questions there is filler. Each key is stated once in a history, so that there is one
// right answer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/rng.h"

namespace qwen25 {

struct RecallVocabulary {
  static constexpr int32_t kEnd = 0, kFact = 1, kAsk = 2, kFirstFiller = 3;
  static constexpr int32_t kNumFillers = 64, kNumKeys = 512, kNumValues = 256;
  static constexpr int32_t kFirstKey = kFirstFiller + kNumFillers;
  static constexpr int32_t kFirstValue = kFirstKey + kNumKeys;
  static constexpr int32_t kSize = 1024;  // rounded up
};

// A fact, and where it stands.
struct RecallFact {
  int32_t key, value;
  size_t position;  // of its kFact
};

// Makes histories; the same for the same seed and stream.
class RecallTask {
 public:
  RecallTask(uint64_t seed, uint64_t stream) : rng_(seed, stream) {}

  // A training document of `length` tokens (at least 16), the last of which is kEnd: a fact about every
  // `fact_every` tokens of filler and a question, for one of the facts so far, about every `question_every`.
  std::vector<int32_t> Document(size_t length, size_t fact_every = 48, size_t question_every = 24);

  // A training document for the beginning: random keys and values, a few of them over and over again in the
  // same order. Models learn from it to look for what followed a token before, on which recall builds.
  std::vector<int32_t> Repetition(size_t length);

  // `length` tokens of filler with facts of different keys at `positions` (ascending, 3 apart and more, at
  // most kNumKeys of them, 3 before the end and earlier).
  std::vector<int32_t> History(size_t length, const std::vector<size_t>& positions,
                               std::vector<RecallFact>& facts);

 private:
  int32_t NextFiller();
  std::vector<int32_t> ShuffledKeys();

  Rng rng_;
  int32_t filler_ = 0;
};

}  // namespace qwen25

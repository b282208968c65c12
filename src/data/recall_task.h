// Synthetic histories in which facts are stated and later asked for: associative recall, the task that shows
// whether attention finds what is far back. Tokens are ids of a vocabulary of their own.
//
//   0             end of text
//   1 value key   states a fact, as in "Paris is the capital of France"
//   2 key value   asks for it and gives the answer
//   filler        256 tokens: the bytes of a text, or numbers that mostly count upwards
// Between facts and questions there is filler. Each key is stated once in a history, so that there is one
// right answer. The value comes first because small models learn that far sooner (docs/benchmarks.md, "Recall
// of long histories"): the question then matches at the key, and the value is one of the few tokens before
// it. With the key first, the model has to find what follows a match, for which heads of two layers must form
// together.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/rng.h"
#include "base/status.h"

namespace qwen25 {

struct RecallVocabulary {
  static constexpr int32_t kEnd = 0, kFact = 1, kAsk = 2, kFirstFiller = 3;
  static constexpr int32_t kNumFillers = 256, kNumKeys = 128, kNumValues = 64;
  static constexpr int32_t kFirstKey = kFirstFiller + kNumFillers;
  static constexpr int32_t kFirstValue = kFirstKey + kNumKeys;
  static constexpr int32_t kSize = 512;  // rounded up
};

// A fact, and where it stands.
struct RecallFact {
  int32_t key, value;
  size_t position;  // of its kFact
};

// Makes histories; the same for the same seed, stream and text.
class RecallTask {
 public:
  static constexpr size_t kFactTokens = 3;

  // Filler is `text`, repeated from a random byte on, or counting numbers if it is empty. The text must
  // outlive the task.
  RecallTask(uint64_t seed, uint64_t stream, std::string_view text = {}) : rng_(seed, stream), text_(text) {
    if (!text_.empty()) next_ = rng_.Below(text_.size());
  }

  // A training document of `length` tokens (at least 16), the last of which is kEnd: a history with about one
  // fact per `fact_every` tokens (at least 3) at random places, at most kNumKeys facts; then a question for
  // each, in random order.
  std::vector<int32_t> Document(size_t length, size_t fact_every = 48);

  // The loss mask of a document (data/shards/loader.h): 1 for the answers, 0 elsewhere. The other tokens are
  // random; learning which of them are likely takes the capacity and the steps that recall needs.
  static std::vector<int32_t> LossMask(std::span<const int32_t> document);

  // `length` tokens of filler with facts of distinct keys at `positions`: ascending, at least 3 apart and 3
  // before the end, at most kNumKeys. `facts` is set to these facts.
  std::vector<int32_t> History(size_t length, const std::vector<size_t>& positions,
                               std::vector<RecallFact>& facts);

 private:
  int32_t NextFiller();
  std::vector<int32_t> ShuffledKeys();

  Rng rng_;
  std::string_view text_;
  size_t next_ = 0;     // byte of the text
  int32_t filler_ = 0;  // the last number
};

struct RecallDocumentOptions {
  uint64_t seed = 1;
  uint64_t documents = 1000;
  uint64_t document_tokens = 1024, fact_every = 48;  // of RecallTask::Document
};

// Writes training documents into the shard `prefix`, and their loss masks beside it. `progress` gets the
// documents that are written.
Status WriteRecallDocuments(const std::string& prefix, const RecallDocumentOptions& options,
                            std::string_view text, const std::function<void(uint64_t num_done)>& progress);

}  // namespace qwen25

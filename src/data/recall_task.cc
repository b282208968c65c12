#include "data/recall_task.h"

#include <numeric>
#include <utility>

#include "base/check.h"

namespace qwen25 {
namespace {

using V = RecallVocabulary;
constexpr size_t kFactTokens = RecallTask::kFactTokens;

}  // namespace

int32_t RecallTask::NextFiller() {
  if (!text_.empty()) {
    const auto byte = static_cast<unsigned char>(text_[next_]);
    next_ = (next_ + 1) % text_.size();
    return V::kFirstFiller + byte;
  }
  constexpr uint64_t kSurprises = 20;  // one token in so many does not follow from the one before
  filler_ = rng_.Below(kSurprises) == 0 ? static_cast<int32_t>(rng_.Below(V::kNumFillers))
                                        : (filler_ + 1) % V::kNumFillers;
  return V::kFirstFiller + filler_;
}

std::vector<int32_t> RecallTask::ShuffledKeys() {
  std::vector<int32_t> keys(V::kNumKeys);
  std::iota(keys.begin(), keys.end(), V::kFirstKey);
  for (size_t i = keys.size(); i > 1; --i) std::swap(keys[i - 1], keys[rng_.Below(i)]);
  return keys;
}

std::vector<int32_t> RecallTask::Document(size_t length, size_t fact_every, size_t question_every) {
  QWEN25_CHECK(length >= 16 && fact_every > 0 && question_every > 0);
  std::vector<int32_t> keys = ShuffledKeys(), document;
  std::vector<std::pair<int32_t, int32_t>> unasked;  // keys and values
  while (document.size() + kFactTokens + 1 <= length) {
    const uint64_t draw = rng_.Below(fact_every * question_every);
    if (draw < question_every && !keys.empty()) {
      const int32_t value = V::kFirstValue + static_cast<int32_t>(rng_.Below(V::kNumValues));
      document.insert(document.end(), {V::kFact, value, keys.back()});
      unasked.emplace_back(keys.back(), value);
      keys.pop_back();
    } else if (draw >= question_every && draw < question_every + fact_every && !unasked.empty()) {
      std::swap(unasked[rng_.Below(unasked.size())], unasked.back());
      document.insert(document.end(), {V::kAsk, unasked.back().first, unasked.back().second});
      unasked.pop_back();
    } else {
      document.push_back(NextFiller());
    }
  }
  while (document.size() + 1 < length) document.push_back(NextFiller());
  document.push_back(V::kEnd);
  return document;
}

std::vector<int32_t> RecallTask::LossMask(std::span<const int32_t> document) {
  std::vector<int32_t> mask(document.size());
  for (size_t i = 2; i < document.size(); ++i) mask[i] = document[i - 2] == V::kAsk;
  return mask;
}

std::vector<int32_t> RecallTask::History(size_t length, const std::vector<size_t>& positions,
                                         std::vector<RecallFact>& facts) {
  QWEN25_CHECK(positions.size() <= static_cast<size_t>(V::kNumKeys));
  const std::vector<int32_t> keys = ShuffledKeys();
  std::vector<int32_t> history;
  history.reserve(length);
  facts.clear();
  for (const size_t position : positions) {
    QWEN25_CHECK(position >= history.size() && position + kFactTokens <= length);
    while (history.size() < position) history.push_back(NextFiller());
    facts.push_back(
        {keys[facts.size()], V::kFirstValue + static_cast<int32_t>(rng_.Below(V::kNumValues)), position});
    history.insert(history.end(), {V::kFact, facts.back().value, facts.back().key});
  }
  while (history.size() < length) history.push_back(NextFiller());
  return history;
}

}  // namespace qwen25

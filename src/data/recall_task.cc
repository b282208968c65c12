#include "data/recall_task.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/check.h"
#include "data/shards/loader.h"
#include "store/indexed_dataset.h"

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
  constexpr uint64_t kSurprises = 20;  // one token in 20 is random
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

std::vector<int32_t> RecallTask::Document(size_t length, size_t fact_every) {
  QWEN25_CHECK(length >= 16 && fact_every >= kFactTokens);
  const size_t num_facts = std::clamp<size_t>((length - 1) / (fact_every + kFactTokens), 1, V::kNumKeys);
  const size_t history_length = length - 1 - kFactTokens * num_facts;
  // A fact takes one of `places`, like every filler token.
  const size_t places = history_length - (kFactTokens - 1) * num_facts;
  std::vector<size_t> positions;
  for (size_t place = 0; place < places; ++place) {
    const size_t missing = num_facts - positions.size();
    if (rng_.Below(places - place) < missing) {
      positions.push_back(place + (kFactTokens - 1) * positions.size());
    }
  }
  std::vector<RecallFact> facts;
  std::vector<int32_t> document = History(history_length, positions, facts);
  for (size_t i = facts.size(); i > 0; --i) {
    std::swap(facts[rng_.Below(i)], facts[i - 1]);
    document.insert(document.end(), {V::kAsk, facts[i - 1].key, facts[i - 1].value});
  }
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

Status WriteRecallDocuments(const std::string& prefix, const RecallDocumentOptions& options,
                            std::string_view text, const std::function<void(uint64_t num_done)>& progress) {
  QWEN25_TRY(IndexedDatasetWriter writer, IndexedDatasetWriter::Create(prefix, V::kSize));
  QWEN25_TRY(IndexedDatasetWriter mask, IndexedDatasetWriter::Create(LossMaskPrefix(prefix), 2));
  for (uint64_t i = 0; i < options.documents; ++i) {
    const std::vector<int32_t> document =
        RecallTask(options.seed, i, text).Document(options.document_tokens, options.fact_every);
    QWEN25_RETURN_IF_ERROR(writer.AddDocument(document));
    QWEN25_RETURN_IF_ERROR(mask.AddDocument(RecallTask::LossMask(document)));
    if (progress) progress(i + 1);
  }
  QWEN25_RETURN_IF_ERROR(mask.Finish());
  return writer.Finish();
}

}  // namespace qwen25

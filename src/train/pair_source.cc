#include "train/pair_source.h"

#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include "base/hash.h"
#include "data/shards/permutation.h"

namespace qwen25 {
namespace {

void AppendText(const std::vector<int32_t>& text, size_t max_tokens, PackedBatch& batch) {
  const size_t count = std::min(text.size(), max_tokens);
  batch.sequence_starts.push_back(static_cast<int32_t>(batch.tokens.size()));
  batch.tokens.insert(batch.tokens.end(), text.begin(), text.begin() + static_cast<std::ptrdiff_t>(count));
  for (size_t i = 0; i < count; ++i) batch.positions.push_back(static_cast<int32_t>(i));
}

}  // namespace

std::vector<TokenPair> HoldOutPairs(std::vector<TokenPair>& pairs) {
  constexpr size_t kEvery = 20, kMost = 1024;
  std::vector<TokenPair> held_out, kept;
  for (size_t i = 0; i < pairs.size(); ++i) {
    const bool out = i % kEvery == kEvery - 1 && held_out.size() < kMost;
    (out ? held_out : kept).push_back(std::move(pairs[i]));
  }
  pairs = std::move(kept);
  return held_out;
}

PairSource::PairSource(std::vector<TokenPair> pairs, const PairSourceOptions& options)
    : pairs_(std::move(pairs)), options_(options) {
  for (const TokenPair& pair : pairs_) {
    for (const std::vector<int32_t>* text : {&pair.query, &pair.passage}) {
      hash_ = Hash64(std::as_bytes(std::span(*text)), hash_ + text->size());
    }
  }
}

Result<std::unique_ptr<PairSource>> PairSource::Make(std::vector<TokenPair> pairs,
                                                     const PairSourceOptions& options) {
  QWEN25_CHECK(options.max_tokens > 0);
  if (pairs.size() < 2) {
    return InvalidArgument("there are {} pairs, expected at least 2: contrastive training compares pairs",
                           pairs.size());
  }
  for (size_t i = 0; i < pairs.size(); ++i) {
    if (pairs[i].query.empty() || pairs[i].passage.empty()) {
      return InvalidArgument("pair {} of {} has an empty text", i + 1, pairs.size());
    }
  }
  return std::unique_ptr<PairSource>(new PairSource(std::move(pairs), options));
}

const TokenPair& PairSource::PairAt(uint64_t index) const {
  if (!options_.endless) return pairs_[index];
  const uint64_t epoch = index / pairs_.size();
  return pairs_[Permutation(pairs_.size(), options_.seed, epoch)(index % pairs_.size())];
}

Status PairSource::Next(size_t num_tokens, PackedBatch& batch) {
  for (auto* list : {&batch.tokens, &batch.positions, &batch.targets, &batch.sequence_starts}) list->clear();
  if (!options_.endless && pairs_.size() - next_ < 2) {
    next_ = pairs_.size();
    return {};
  }
  for (size_t count = 0; options_.endless || next_ < pairs_.size(); ++count, ++next_) {
    const TokenPair& pair = PairAt(next_);
    const size_t size =
        std::min(pair.query.size(), options_.max_tokens) + std::min(pair.passage.size(), options_.max_tokens);
    if (count >= 2 && batch.tokens.size() + size > num_tokens) break;
    AppendText(pair.query, options_.max_tokens, batch);
    AppendText(pair.passage, options_.max_tokens, batch);
  }
  batch.sequence_starts.push_back(static_cast<int32_t>(batch.tokens.size()));
  return {};
}

Json PairSource::State() const {
  return {{"pairs", pairs_.size()}, {"hash", hash_}, {"next", next_}};
}

Status PairSource::Restore(const Json& state) {
  uint64_t pairs = 0, hash = 0, next = 0;
  QWEN25_RETURN_IF_ERROR(ReadField(state, "pairs", "the place in the pairs", pairs));
  QWEN25_RETURN_IF_ERROR(ReadField(state, "hash", "the place in the pairs", hash));
  QWEN25_RETURN_IF_ERROR(ReadField(state, "next", "the place in the pairs", next));
  if (pairs != pairs_.size() || hash != hash_) {
    return InvalidArgument("the checkpoint was trained on other pairs: {} of them, now there are {}", pairs,
                           pairs_.size());
  }
  next_ = next;
  return {};
}

}  // namespace qwen25

// For tests of the trainer: options of a tiny model, and data generated in memory.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/rng.h"
#include "base/test_util.h"
#include "model/tiny_config_test_util.h"
#include "train/trainer.h"

namespace qwen25 {

// Documents of random lengths whose tokens follow a rule that can be learned: a token determines its
// successor nine times out of ten.
class RandomWalkSource : public BatchSource {
 public:
  RandomWalkSource(uint32_t vocabulary, uint64_t seed, uint64_t tokens_per_pass = 0)
      : vocabulary_(vocabulary), tokens_per_pass_(tokens_per_pass), rng_(seed, 1) {}

  Status Next(size_t num_tokens, PackedBatch& batch) override {
    if (tokens_per_pass_ > 0) num_tokens = std::min<size_t>(num_tokens, tokens_per_pass_ - used_);
    used_ += num_tokens;
    for (auto* list : {&batch.tokens, &batch.positions, &batch.targets, &batch.sequence_starts})
      list->clear();
    while (batch.tokens.size() < num_tokens) {
      const size_t length = std::min<size_t>(num_tokens - batch.tokens.size(), 1 + rng_.Below(40));
      batch.sequence_starts.push_back(static_cast<int32_t>(batch.tokens.size()));
      auto token = static_cast<int32_t>(rng_.Below(vocabulary_));
      for (size_t i = 0; i < length; ++i) {
        batch.tokens.push_back(token);
        batch.positions.push_back(static_cast<int32_t>(i));
        token = static_cast<int32_t>(rng_.Below(10) == 0 ? rng_.Below(vocabulary_)
                                                         : (token * 7 + 3) % vocabulary_);
        batch.targets.push_back(i + 1 < length ? token : -1);
      }
    }
    batch.sequence_starts.push_back(static_cast<int32_t>(num_tokens));
    return {};
  }
  void Rewind() override {
    rng_.set_counter(0);
    used_ = 0;
  }
  Json State() const override { return {{"counter", rng_.counter()}}; }
  Status Restore(const Json& state) override {
    uint64_t counter = 0;
    QWEN25_RETURN_IF_ERROR(ReadField(state, "counter", "loader state", counter));
    rng_.set_counter(counter);
    return {};
  }

 private:
  const uint32_t vocabulary_;
  const uint64_t tokens_per_pass_;
  uint64_t used_ = 0;
  Rng rng_;
};

inline constexpr uint32_t kTinyVocabulary = 61;

inline ModelConfig TinyModel() {
  return TinyConfig(kTinyVocabulary, /*max_position_embeddings=*/128);
}

// Options of a run in `directory`/run. Writes the model's configuration to `directory`/tiny.json.
inline TrainOptions TinyOptions(const TemporaryDirectory& directory) {
  TrainOptions options;
  options.preset.clear();
  options.config = directory / "tiny.json";
  EXPECT_OK(WriteFileAtomically(options.config, TinyModel().ToJson().dump()));
  options.train_data = {"in memory"};
  options.output = directory / "run";
  options.sequence_length = 32;
  options.tokens_per_step = 128;
  options.micro_batch_tokens = 96;  // does not divide the step: the last micro-batch is smaller
  options.max_steps = 12;
  options.validate_every = 4;
  options.measure_peak = false;
  options.optimizer.learning_rate = 1e-2;
  options.schedule.warmup_steps = 2;
  return options;
}

inline TrainData TinyData(uint64_t seed = 5) {
  TrainData data;
  data.train = std::make_unique<RandomWalkSource>(kTinyVocabulary, seed);
  data.validation = std::make_unique<RandomWalkSource>(kTinyVocabulary, seed + 1, 300);
  data.token_bytes.assign(kTinyVocabulary, 3);
  return data;
}

}  // namespace qwen25

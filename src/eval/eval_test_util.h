// A tiny model and a tokenizer of single bytes, for scoring texts in tests.
#pragma once

#include <cstdint>

#include "infer/tiny_model_test_util.h"
#include "model/model.h"

namespace qwen25 {

inline ModelConfig ByteModelConfig() {
  ModelConfig config = TinyConfig(257);
  config.initializer_range = 0.3;  // so that predictions differ
  return config;
}

inline Model ByteModel(uint64_t seed, const ModelConfig& config = ByteModelConfig()) {
  Model model(config);
  model.Initialize(seed);
  return model;
}

inline Model LongByteModel(uint32_t positions) {
  ModelConfig config = ByteModelConfig();
  config.max_position_embeddings = positions;
  return ByteModel(1, config);
}

}  // namespace qwen25

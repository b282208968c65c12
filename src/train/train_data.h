// The data of a training run.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <vector>

#include "train/batch_source.h"

namespace qwen25 {

struct TrainData {
  std::unique_ptr<BatchSource> train;
  std::unique_ptr<BatchSource> validation;  // null: no validation
  // Bytes of text of each token, by id, for bits per byte; may be empty.
  std::vector<uint32_t> token_bytes;
  // tokenizer.json and its companions, copied into every checkpoint and the final model.
  std::vector<std::filesystem::path> tokenizer_files;
};

}  // namespace qwen25

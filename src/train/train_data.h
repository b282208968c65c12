// What a run reads.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <vector>

#include "train/batch_source.h"

namespace qwen25 {

// Without `validation` there is no validation.
struct TrainData {
  std::unique_ptr<BatchSource> train;
  std::unique_ptr<BatchSource> validation;
  // Bytes of text that each token stands for, by id; for bits per byte. May be empty.
  std::vector<uint32_t> token_bytes;
  // Copied into every checkpoint and the final model: tokenizer.json and its companions.
  std::vector<std::filesystem::path> tokenizer_files;
};

}  // namespace qwen25

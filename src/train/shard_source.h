// The data of a run from token shards on disk.
#pragma once

#include <filesystem>
#include <vector>

#include "base/status.h"
#include "train/train_data.h"
#include "train/train_options.h"

namespace qwen25 {

// Opens data.train, data.validation and the tokenizer files that lie in data.tokenizer (tokenizer.json and
// the names that Hugging Face uses beside it). `vocab_size`: ids must be below; 0: not checked here. Token
// lengths for bits per byte are for the caller to add, who knows the tokenizer.
Result<TrainData> OpenTrainData(const TrainOptions& options, uint32_t vocab_size = 0);

// The tokenizer's files in a model or tokenizer folder. kNotFound if there are none.
Result<std::vector<std::filesystem::path>> TokenizerFilesIn(const std::filesystem::path& folder);

}  // namespace qwen25

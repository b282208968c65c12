// Reads the data of a run from token shards on disk.
#pragma once

#include <filesystem>
#include <vector>

#include "base/status.h"
#include "train/train_data.h"
#include "train/train_options.h"

namespace qwen25 {

// Opens data.train and data.validation, and lists the tokenizer files in data.tokenizer. Token ids must be
// below `vocab_size`; 0: not checked here. TrainData::token_bytes stays empty: the caller knows the
// tokenizer. Errors name option or shard.
Result<TrainData> OpenTrainData(const TrainOptions& options, uint32_t vocab_size = 0);

// The tokenizer files in a model or tokenizer folder: tokenizer.json and others with Hugging Face's names.
// kNotFound if there are none.
Result<std::vector<std::filesystem::path>> TokenizerFilesIn(const std::filesystem::path& folder);

}  // namespace qwen25

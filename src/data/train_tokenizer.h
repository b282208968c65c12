// From documents to a tokenizer.
#pragma once

#include <span>
#include <string>

#include "base/status.h"
#include "base/thread_pool.h"
#include "text/bpe_trainer.h"

namespace qwen25 {

// Learns a vocabulary from the documents of some files (data/read/text_files.h), for
// Tokenizer::FromByteLevelBpe. The special tokens of `options` are replaced by those of ChatML, so that a
// model can learn to talk later; an end of text and a chat template come with them. Errors of reading and of
// BpeTrainer.
Result<TrainedBpe> TrainTokenizer(std::span<const std::string> inputs, BpeTrainerOptions options,
                                  ThreadPool& threads);

}  // namespace qwen25

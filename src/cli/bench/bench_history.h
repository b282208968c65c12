// Long histories for benchmarks of what comes after them.
#pragma once

#include <cstdint>
#include <span>

#include "base/status.h"
#include "infer/session.h"

namespace qwen25 {

// Makes an empty session hold `tokens`: the first of them are computed, and keys and values of the rest are
// copies of theirs, block by block at random. Takes about as long as copying does. kCancelled after Ctrl-C;
// errors of the pool of blocks.
Status FillHistory(InferenceEngine& engine, Session& session, std::span<const int32_t> tokens, uint64_t seed);

}  // namespace qwen25

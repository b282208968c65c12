// Passages: texts such as notes, stored as KV blocks beside the dialogues of a namespace, so that attention
// finds both by the same score (memory/recalled_blocks.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "base/hash.h"
#include "base/status.h"
#include "infer/engine.h"

namespace qwen25 {

struct Passage {
  Hash128 name;                 // different for different texts
  std::vector<int32_t> tokens;  // at least one
};

struct PassageReport {
  size_t num_known = 0;           // passages that were completely stored before
  size_t num_computed = 0;        // passages that were computed and are stored now
  size_t num_removed_blocks = 0;  // blocks of passages that are no longer wanted
  std::vector<bool> is_stored;    // [wanted] whether the passage is completely stored
  Status status = {};             // why some passages are not stored
};

// Makes the engine's store hold exactly the passages `wanted` in a namespace: computes and stores those that
// are missing in the engine's block format, and removes unwanted ones in every format. Needs a store.
//
// A passage is cut into pieces, each a sequence of its own, of at most 512 tokens and at most the recall
// window (without one: the engine's context). Blocks are stored whole: a piece fills the rest of its last
// block by repeating itself, which affects only the block's summary. Attention within a piece is dense, so
// that its blocks depend only on model, format, namespace, passage and piece length.
//
// `progress(done, total)`, which may be null, counts passages; returning false stops. After that, or an error
// of the store, finished passages stay stored and PassageReport::status says why. Returned errors: those of
// BlockStore::RemovePassages; kInvalidArgument for tokens outside the vocabulary, or if no block fits the
// context.
Result<PassageReport> SyncPassages(InferenceEngine& engine, std::string_view name_space,
                                   std::span<const Passage> wanted,
                                   const std::function<bool(size_t done, size_t total)>& progress);

}  // namespace qwen25

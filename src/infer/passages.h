// Passages: texts beside the dialogues of a namespace, such as notes, stored as KV blocks like theirs, so
// that attention finds them by the same score (memory/recalled_blocks.h).
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
  Hash128 name;                 // another one for another text
  std::vector<int32_t> tokens;  // at least one
};

struct PassageReport {
  size_t num_known = 0, num_computed = 0;  // passages that were stored before, and those that are now
  size_t num_removed_blocks = 0;           // of passages that are not wanted any more
  std::vector<bool> is_stored;             // [wanted], wholly
  Status status = {};                      // why not all of them are
};

// Makes the passages that the engine's store holds in a namespace those that are `wanted`: computes and
// stores what is missing of the engine's block format, removes what is not wanted, of other formats, too. A
// passage is a sequence of its own, in pieces of at most 512 tokens, or the recall window where that is less.
// Blocks are stored whole: what a piece does not fill of its last one it fills from its beginning over again,
// which only the block's summary knows of. Attention within it is dense, so that its blocks depend on model,
// format, namespace, passage and length of pieces alone. `progress(done, total)`, which may be null, counts
// passages; returning false stops, as does an error of the store, with what is done stored. Errors: those of
// RemovePassages, and tokens that the model does not have.
Result<PassageReport> SyncPassages(InferenceEngine& engine, std::string_view name_space,
                                   std::span<const Passage> wanted,
                                   const std::function<bool(size_t done, size_t total)>& progress);

}  // namespace qwen25

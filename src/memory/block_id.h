// Names of KV blocks by what is in them (docs/memory.md, "Names of blocks").
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "base/check.h"
#include "base/hash.h"
#include "ops/attention/sequence_kv.h"

namespace qwen25 {

// The name of a block of tokens after the block `parent`: that of its whole sequence up to its end, since
// keys and values depend on all of it. For a sequence's first block, `parent` says everything else that they
// depend on (model, rotary settings, formats) and whose sequence it is. Equal names are compared by their
// tokens, too, before one block is taken for another.
inline Hash128 BlockIdOf(const Hash128& parent, std::span<const int32_t> tokens) {
  QWEN25_CHECK(tokens.size() == kBlockTokens);
  struct {
    Hash128 parent;
    int32_t tokens[kBlockTokens];
  } content = {.parent = parent};
  std::ranges::copy(tokens, content.tokens);
  return HashBytes128(std::as_bytes(std::span(&content, 1)));
}

}  // namespace qwen25

// Content-based names of KV blocks (docs/memory.md, "Names of blocks").
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "base/check.h"
#include "base/hash.h"
#include "ops/attention/sequence_kv.h"

namespace qwen25 {

// The name of the block that holds `tokens` (kBlockTokens of them) after the block named `parent`. It stands
// for the whole sequence up to the block's end, since keys and values depend on all of it. For a sequence's
// first block, `parent` is a hash of everything else that they depend on (model, rotary settings, formats)
// and of the namespace. A hash is not a proof: blocks with equal names also have their tokens compared.
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

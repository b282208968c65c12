// Blocks of sessions on their way to the store.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "base/hash.h"
#include "base/status.h"
#include "infer/engine.h"
#include "memory/block_pool.h"

namespace qwen25 {

// A full block of an engine's pool, and what NewBlock says of it.
struct BlockToPut {
  BlockPool::BlockId block;
  Hash128 id, parent;
  uint32_t position = 0;
  std::span<const int32_t> tokens;
};

// Writes the blocks with their summaries to the engine's store, which it must have, in one transaction.
// Errors of BlockStore::Put.
Status PutBlocks(InferenceEngine& engine, std::string_view name_space, std::span<const BlockToPut> blocks);

}  // namespace qwen25

// Which blocks a full store removes.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "memory/block_catalog.h"

namespace qwen25 {

// Besides the missing bytes, 1 / kSpareShare of the bytes that are not pinned are removed. A choice visits
// all n blocks; a full store then makes one choice per n / 64 new blocks, which is 64 visits for each new
// block.
inline constexpr uint64_t kSpareShare = 64;

// Returns blocks to remove, in order of removal: none if no bytes are missing; otherwise at least the missing
// bytes and the spare share, or fewer if no more blocks may be removed. `missing(n)` is the number of missing
// bytes if n blocks are removed, and must not fall as n grows (removals grow the index). `bytes_of` is the
// size of a block of a format, in bytes.
//
// The block with the greatest age / (1 + uses) is removed first: age in ticks of the store's clock since its
// last use, uses counted up to 15. Ties: the higher position first, then the block stored earlier. Never
// removed:
//   - blocks of pinned namespaces, and blocks used at the present tick,
//   - parents named by `new_parents`, and any block before its successor: a prefix is used as a whole, so its
//     first blocks are worth as much as the best of their successors.
// Time: one pass over all n blocks, and O(log n) for each candidate.
std::vector<BlockEntry*> ChooseEvictions(const BlockCatalog& catalog,
                                         const std::function<uint64_t(size_t num_chosen)>& missing,
                                         std::span<const BlockKey> new_parents,
                                         const std::function<uint64_t(uint32_t format)>& bytes_of);

}  // namespace qwen25

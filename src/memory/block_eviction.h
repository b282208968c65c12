// Which blocks go when a store is full.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "memory/block_catalog.h"

namespace qwen25 {

// Beyond what is needed goes this part of what is not pinned, so that the walk over all blocks that a choice
// takes serves many Puts: a full store of n blocks then walks n / (n / 64) = 64 of them for each new one.
inline constexpr uint64_t kSpareShare = 64;

// Blocks that together have at least the bytes that are missing and the spare part, in the order in which
// they should go; fewer bytes if no more may go, and none if none are missing. `missing(n)` says how many
// bytes are missing if n blocks go: never fewer for more. A block is worth the less, the longer ago its last
// use is: its age on the clock of the store, divided by one more than its number of uses (up to 15). Of equal
// ones that with the higher position goes first, then the older. What may not go:
//   - blocks of pinned namespaces, and those used at the present tick of the clock,
//   - a block that another one follows, before that one has gone, and those that `new_parents` names, which
//     blocks that come will follow (whole prefixes are used together, so that the start of one is worth as
//     much as the best of what follows).
// Time: one pass over all blocks. `bytes_of` says what a block of a format takes.
std::vector<BlockEntry*> ChooseEvictions(const BlockCatalog& catalog,
                                         const std::function<uint64_t(size_t num_chosen)>& missing,
                                         std::span<const BlockKey> new_parents,
                                         const std::function<uint64_t(uint32_t format)>& bytes_of);

}  // namespace qwen25

// The blocks that a token reads, chosen by the shares of its attention that they may have.
#pragma once

#include <cstdint>
#include <span>

#include "ops/routing/routing_policy.h"

namespace qwen25 {

// Sets the bits of the blocks of [0, shares.size()) that a token reads, by their shares; `read_share` is the
// share of the blocks that it reads anyway. A block with a negative share is not a candidate. `order` has
// room for as many numbers as `shares`. Returns the share of all blocks that are read then.
float ChooseBlocks(const RoutingPolicy& policy, std::span<const float> shares, float read_share,
                   std::span<uint32_t> order, std::span<uint64_t> chosen);

}  // namespace qwen25

// Which blocks a token reads, by the shares of its attention that they may have.
#pragma once

#include <cstdint>
#include <span>

#include "ops/routing/routing_policy.h"

namespace qwen25 {

// Sets the bits of the blocks that a token reads of [0, shares.size()), by their shares; `read_share` is that
// of what it reads anyway. What has a negative share is no candidate. `order` has room for as many numbers as
// shares. Returns the share of all that is read then.
float ChooseBlocks(const RoutingPolicy& policy, std::span<const float> shares, float read_share,
                   std::span<uint32_t> order, std::span<uint64_t> chosen);

}  // namespace qwen25

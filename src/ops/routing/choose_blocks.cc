#include "ops/routing/choose_blocks.h"

#include <algorithm>
#include <limits>

#include "base/check.h"
#include "kernels/shortlist.h"

namespace qwen25 {
namespace {

// A share that is not a number stands before every other.
float Known(float share) {
  return share == share ? share : std::numeric_limits<float>::infinity();
}

}  // namespace

float ChooseBlocks(const RoutingPolicy& policy, std::span<const float> shares, float read_share,
                   std::span<uint32_t> order, std::span<uint64_t> chosen) {
  std::ranges::fill(chosen, 0);
  const bool top_p = policy.kind == RoutingPolicy::Kind::kTopP;
  // NaN compares as false: the share is then unknown and the candidates are read.
  if (top_p && read_share >= policy.top_p) return read_share;
  QWEN25_CHECK(order.size() >= shares.size() && chosen.size() * 64 >= shares.size());
  const std::span<uint32_t> blocks =
      order.first(Shortlist(shares.data(), shares.size(), policy.max_blocks, order.data()));
  const auto before = [&](uint32_t a, uint32_t b) {
    const float x = Known(shares[a]), y = Known(shares[b]);
    return x > y || (x == y && a < b);
  };
  const std::span<uint32_t> best = blocks.first(std::min<size_t>(policy.max_blocks, blocks.size()));
  if (best.size() < blocks.size()) std::nth_element(blocks.begin(), best.end(), blocks.end(), before);
  if (top_p) std::ranges::sort(best, before);
  float share = read_share;
  for (const uint32_t block : best) {
    if (top_p && share >= policy.top_p) break;
    chosen[block / 64] |= uint64_t{1} << (block % 64);
    share += shares[block];
  }
  return share;
}

}  // namespace qwen25

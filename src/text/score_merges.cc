#include "text/score_merges.h"

#include <algorithm>
#include <string_view>
#include <tuple>
#include <unordered_map>

#include "base/check.h"

namespace qwen25 {

void DeriveMerges(std::span<const float> scores, const std::vector<bool>& is_piece, TokenizerSpec& spec) {
  QWEN25_CHECK(scores.size() == spec.tokens.size() && is_piece.size() == spec.tokens.size());
  std::unordered_map<std::string_view, int32_t> id_of;
  for (size_t id = 0; id < spec.tokens.size(); ++id) {
    if (is_piece[id]) id_of[spec.tokens[id]] = static_cast<int32_t>(id);
  }
  for (size_t id = 0; id < spec.tokens.size(); ++id) {
    if (!is_piece[id]) continue;
    const std::string_view token = spec.tokens[id];
    for (size_t cut = 1; cut < token.size(); ++cut) {
      const auto left = id_of.find(token.substr(0, cut)), right = id_of.find(token.substr(cut));
      if (left == id_of.end() || right == id_of.end()) continue;
      spec.merges.push_back({left->second, right->second, static_cast<int32_t>(id)});
    }
  }
  std::sort(spec.merges.begin(), spec.merges.end(), [&](const auto& a, const auto& b) {
    const float score_a = scores[static_cast<size_t>(a.result)];
    const float score_b = scores[static_cast<size_t>(b.result)];
    if (score_a != score_b) return score_a > score_b;
    return std::tie(a.result, a.left, a.right) < std::tie(b.result, b.left, b.right);
  });
  for (size_t rank = 0; rank < spec.merges.size(); ++rank) {
    const auto score = [&](size_t r) { return scores[static_cast<size_t>(spec.merges[r].result)]; };
    const uint32_t group = rank == 0 ? 0 : spec.merge_groups.back() + (score(rank) != score(rank - 1));
    spec.merge_groups.push_back(group);
  }
}

}  // namespace qwen25

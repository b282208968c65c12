#include "memory/block_eviction.h"

#include <algorithm>
#include <queue>
#include <tuple>
#include <unordered_map>

namespace qwen25 {
namespace {

constexpr uint32_t kMostUses = 15;

// Larger goes first.
using Rank = std::tuple<uint64_t, uint32_t, uint64_t>;

Rank RankOf(const BlockEntry& entry, uint64_t now) {
  // Sixteenths of a tick, so that the division by up to 16 keeps young blocks apart.
  const uint64_t age = (now - entry.last_used) * (kMostUses + 1);
  return {age / (1 + std::min(entry.num_uses, kMostUses)), entry.position, ~entry.sequence};
}

}  // namespace

std::vector<BlockEntry*> ChooseEvictions(const BlockCatalog& catalog,
                                         const std::function<uint64_t(size_t num_chosen)>& missing,
                                         std::span<const BlockKey> new_parents,
                                         const std::function<uint64_t(uint32_t format)>& bytes_of) {
  std::vector<BlockEntry*> chosen;
  if (missing(0) == 0) return chosen;
  std::unordered_map<const BlockEntry*, size_t> num_followers;
  const auto parent_of = [&](const BlockEntry& entry) -> BlockEntry* {
    BlockEntry* parent = catalog.Find({entry.key.name_space, entry.key.format, entry.parent});
    // Positions rise along a sequence. Without this test, a cycle of wrong parents could never be removed.
    return parent != nullptr && parent->position < entry.position ? parent : nullptr;
  };
  std::vector<BlockEntry*> loose;
  uint64_t loose_bytes = 0;
  for (const auto& [key, entry] : catalog.entries()) {
    if (const BlockEntry* parent = parent_of(*entry)) ++num_followers[parent];
    if (catalog.namespaces().at(key.name_space).pinned) continue;
    loose.push_back(entry.get());
    loose_bytes += bytes_of(key.format);
  }
  for (const BlockKey& key : new_parents) {
    if (const BlockEntry* parent = catalog.Find(key)) ++num_followers[parent];
  }
  std::priority_queue<std::pair<Rank, BlockEntry*>> candidates;
  const auto add = [&](BlockEntry* entry) {
    if (entry->last_used == catalog.clock() || catalog.namespaces().at(entry->key.name_space).pinned) return;
    candidates.emplace(RankOf(*entry, catalog.clock()), entry);
  };
  for (BlockEntry* entry : loose) {
    if (!num_followers.contains(entry)) add(entry);
  }
  const uint64_t spare = loose_bytes / kSpareShare;
  for (uint64_t bytes = 0; bytes < missing(chosen.size()) + spare && !candidates.empty();) {
    BlockEntry* entry = candidates.top().second;
    candidates.pop();
    chosen.push_back(entry);
    bytes += bytes_of(entry->key.format);
    if (BlockEntry* parent = parent_of(*entry); parent != nullptr && --num_followers[parent] == 0)
      add(parent);
  }
  return chosen;
}

}  // namespace qwen25

#include "memory/block_eviction.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <set>

#include "base/test_util.h"

namespace qwen25 {
namespace {

constexpr uint64_t kBlockBytes = 100;

// The rule of block_eviction.h, looking at everything for each block that goes.
std::vector<uint64_t> Expected(const std::vector<BlockEntry*>& entries, uint64_t num_bytes, uint64_t now,
                               const std::set<uint64_t>& new_parents) {
  std::vector<uint64_t> chosen;
  std::set<uint64_t> gone;
  if (num_bytes == 0) return chosen;
  uint64_t num_loose = 0;
  for (const BlockEntry* entry : entries) num_loose += entry->key.name_space != 2;
  num_bytes += num_loose * kBlockBytes / kSpareShare;
  while (chosen.size() * kBlockBytes < num_bytes) {
    const BlockEntry* best = nullptr;
    const auto is_followed = [&](const BlockEntry* entry) {
      return new_parents.contains(entry->key.id.low) ||
             std::ranges::any_of(entries, [&](const BlockEntry* other) {
               return !gone.contains(other->key.id.low) && other->key.name_space == entry->key.name_space &&
                      other->parent == entry->key.id && other->position > entry->position;
             });
    };
    const auto age = [&](const BlockEntry* entry) {
      return (now - entry->last_used) * 16 / (1 + std::min(entry->num_uses, 15u));
    };
    for (const BlockEntry* entry : entries) {
      if (gone.contains(entry->key.id.low) || entry->last_used == now || entry->key.name_space == 2) continue;
      if (is_followed(entry)) continue;
      const bool is_better =
          best == nullptr || age(entry) > age(best) ||
          (age(entry) == age(best) && entry->position > best->position) ||
          (age(entry) == age(best) && entry->position == best->position && entry->sequence < best->sequence);
      if (is_better) best = entry;
    }
    if (best == nullptr) break;
    gone.insert(best->key.id.low);
    chosen.push_back(best->key.id.low);
  }
  return chosen;
}

TEST(BlockEvictionTest, ChoosesAsTheSimpleRule) {
  const TemporaryDirectory directory;
  size_t num_cases = 0;
  EXPECT_TRUE(rc::check([&] {
    const auto catalog = BlockCatalog::Open(
        [&] {
          const auto folder = directory.path() / std::to_string(num_cases++);
          std::filesystem::create_directory(folder);
          return folder;
        }(),
        1 << 20, nullptr);
    RC_ASSERT(catalog.ok());
    BlockCatalog& blocks = **catalog;
    BlockCatalog::Change change;
    change.namespaces = {{1, {"loose"}}, {2, {"pinned", true}}};
    change.formats[1] = {.num_layers = 1, .layer_bytes = 1};
    const auto count = *rc::gen::inRange<size_t>(0, 40);
    std::vector<BlockEntry*> entries;
    for (size_t i = 0; i < count; ++i) {
      auto entry = std::make_unique<BlockEntry>();
      entry->key = {*rc::gen::element<uint32_t>(1, 1, 1, 2), 1, {i + 1, 0}};
      const auto parent = *rc::gen::inRange<size_t>(0, i + 1);
      entry->parent = {parent == i ? 0 : parent + 1, 0};
      entry->position = parent == i ? 0 : entries[parent]->position + 1;
      // Now and then a ring.
      if (*rc::gen::inRange(0, 10) == 0) entry->parent = {*rc::gen::inRange<uint64_t>(1, count + 1), 0};
      entry->slot = static_cast<uint32_t>(i);
      entry->sequence = i + 1;
      entry->last_used = *rc::gen::inRange<uint64_t>(0, 22);
      entry->num_uses = *rc::gen::element<uint32_t>(0, 0, 1, 5, 100);
      entries.push_back(entry.get());
      change.added.push_back(std::move(entry));
    }
    while (blocks.clock() < 20) blocks.Tick();
    for (BlockEntry* entry : entries) entry->last_used = std::min(entry->last_used, blocks.clock());
    RC_ASSERT(blocks.Commit(std::move(change)).ok());
    const auto num_bytes = *rc::gen::inRange<uint64_t>(0, 30 * kBlockBytes);
    std::vector<BlockKey> new_parents;
    std::set<uint64_t> new_parent_ids;
    for (const uint64_t id :
         *rc::gen::container<std::vector<uint64_t>>(2, rc::gen::inRange<uint64_t>(1, 60))) {
      new_parents.push_back({1, 1, {id, 0}});
      if (blocks.Find(new_parents.back()) != nullptr) new_parent_ids.insert(id);
    }
    std::vector<uint64_t> chosen;
    for (const BlockEntry* entry : ChooseEvictions(
             blocks, [&](size_t) { return num_bytes; }, new_parents, [](uint32_t) { return kBlockBytes; })) {
      chosen.push_back(entry->key.id.low);
    }
    RC_ASSERT(chosen == Expected(entries, num_bytes, blocks.clock(), new_parent_ids));
  }));
}

}  // namespace
}  // namespace qwen25

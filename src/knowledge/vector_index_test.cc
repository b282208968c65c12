#include "knowledge/vector_index.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "base/file.h"
#include "base/rng.h"
#include "base/test_util.h"
#include "knowledge/embedder.h"

namespace qwen25 {
namespace {

constexpr uint32_t kDimension = 24;

std::vector<float> RandomUnit(Rng& rng) {
  std::vector<float> vector(kDimension);
  for (float& value : vector) value = static_cast<float>(rng.Normal());
  NormalizeVector(vector);
  return vector;
}

std::vector<VectorHit> ExactSearch(const std::map<int64_t, std::vector<float>>& vectors,
                                   std::span<const float> query, size_t count) {
  std::vector<VectorHit> hits;
  for (const auto& [id, vector] : vectors) hits.push_back({id, DotProduct(vector, query)});
  std::ranges::sort(hits, std::greater(), &VectorHit::score);
  hits.resize(std::min(count, hits.size()));
  return hits;
}

TEST(VectorIndex, FindsTheNearestWhileItGrowsAndShrinks) {
  Rng rng(7);
  VectorIndex index(kDimension);
  std::map<int64_t, std::vector<float>> vectors;
  EXPECT_TRUE(index.Search(RandomUnit(rng), 5).empty());
  for (int64_t id = 1; id <= 1500; ++id) {  // beyond the first capacity
    vectors[id] = RandomUnit(rng);
    ASSERT_OK(index.Add(id, vectors[id]));
    if (id % 3 == 0) {
      const int64_t victim = 1 + static_cast<int64_t>(rng.Below(static_cast<uint64_t>(id)));
      vectors.erase(victim);
      index.Remove(victim);
    }
  }
  EXPECT_EQ(index.size(), vectors.size());
  size_t found = 0;
  for (int i = 0; i < 50; ++i) {
    const std::vector<float> query = RandomUnit(rng);
    const std::vector<VectorHit> wanted = ExactSearch(vectors, query, 10), got = index.Search(query, 10);
    ASSERT_EQ(got.size(), 10u);
    for (const VectorHit& hit : got) {
      ASSERT_TRUE(vectors.contains(hit.id)) << "a removed vector was found";
      EXPECT_NEAR(hit.score, DotProduct(vectors[hit.id], query), 1e-5);
      found += static_cast<size_t>(std::ranges::count(wanted, hit.id, &VectorHit::id));
    }
  }
  EXPECT_GE(found, 475u) << "of 500";
}

TEST(VectorIndex, CacheIsCheckedAgainstItsHash) {
  const TemporaryDirectory directory;
  Rng rng(3);
  VectorIndex index(kDimension);
  for (int64_t id = 1; id <= 40; ++id) ASSERT_OK(index.Add(id, RandomUnit(rng)));
  index.Remove(4);
  ASSERT_OK_AND_ASSIGN(const uint64_t hash, index.Save(directory / "v"));
  ASSERT_OK_AND_ASSIGN(const VectorIndex loaded, VectorIndex::Load(directory / "v", kDimension, hash));
  EXPECT_EQ(loaded.ids(), index.ids());
  EXPECT_EQ(loaded.num_removed(), 1u);
  const std::vector<float> query = RandomUnit(rng);
  const auto a = index.Search(query, 5), b = loaded.Search(query, 5);
  for (size_t i = 0; i < 5; ++i) EXPECT_EQ(a[i].id, b[i].id);

  EXPECT_ERROR_CONTAINS(VectorIndex::Load(directory / "v", kDimension, hash + 1), "not the cache of vectors");
  ASSERT_OK_AND_ASSIGN(std::string bytes, ReadFile(directory / "v"));
  bytes[bytes.size() / 2] ^= 1;
  ASSERT_OK(WriteFileAtomically(directory / "v", bytes));
  EXPECT_ERROR_CONTAINS(VectorIndex::Load(directory / "v", kDimension, hash), "not the cache of vectors");
}

TEST(VectorIndex, AnEmptyCacheCanGrow) {
  const TemporaryDirectory directory;
  ASSERT_OK_AND_ASSIGN(const uint64_t hash, VectorIndex(kDimension).Save(directory / "v"));
  ASSERT_OK_AND_ASSIGN(VectorIndex loaded, VectorIndex::Load(directory / "v", kDimension, hash));
  Rng rng(5);
  for (int64_t id = 1; id <= 1100; ++id) ASSERT_OK(loaded.Add(id, RandomUnit(rng)));
  EXPECT_EQ(loaded.Search(RandomUnit(rng), 10).size(), 10u);
}

}  // namespace
}  // namespace qwen25

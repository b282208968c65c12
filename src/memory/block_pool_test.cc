#include "memory/block_pool.h"

#include <algorithm>
#include <set>

#include "base/test_util.h"

namespace qwen25 {
namespace {

constexpr AttentionShape kShape = {.num_heads = 4, .num_kv_heads = 2, .head_dim = 8, .scale = 1};

TEST(BlockPoolTest, BlocksAreZeroedDistinctAndReused) {
  BlockPool pool(kShape, 3, 4);
  std::set<std::byte*> seen;
  std::vector<BlockPool::BlockId> ids;
  for (int i = 0; i < 4; ++i) {
    ASSERT_OK_AND_ASSIGN(const auto id, pool.Take());
    ids.push_back(id);
    for (size_t layer = 0; layer < 3; ++layer) {
      EXPECT_TRUE(seen.insert(pool.Data(id, layer)).second);
      std::fill_n(pool.Data(id, layer), kShape.BytesPerBlock(), std::byte{1});
    }
  }
  EXPECT_EQ(pool.num_used(), 4u);
  EXPECT_ERROR_CONTAINS(pool.Take(), "all 4 KV blocks (256 tokens");
  pool.Give(ids[2]);
  ASSERT_OK_AND_ASSIGN(const auto again, pool.Take());
  EXPECT_EQ(again, ids[2]);
  for (size_t i = 0; i < kShape.BytesPerBlock(); ++i) ASSERT_EQ(pool.Data(again, 2)[i], std::byte{0});
}

}  // namespace
}  // namespace qwen25

#include "ops/routing/routing_policy.h"

#include <gtest/gtest.h>

#include <vector>

namespace qwen25 {
namespace {

TEST(RoutingPolicyTest, ParsesWhatItPrints) {
  for (const char* text : {"dense", "top_k:7", "top_p:0.5,max_blocks=9,score=mean,sink=2,local=0",
                           "top_k:16,score=bound,dense_below=0,max_missed=0.25", "top_k:4,rerank=3"}) {
    const Result<RoutingPolicy> policy = RoutingPolicy::Parse(text);
    ASSERT_TRUE(policy.ok()) << policy.status().message();
    const Result<RoutingPolicy> again = RoutingPolicy::Parse(policy->ToString());
    ASSERT_TRUE(again.ok()) << again.status().message();
    EXPECT_EQ(*policy, *again);
  }
  for (const char* text :
       {"", "best", "top_k:0", "top_k:x", "top_p:1.5", "top_p:0.5,", "top_p:nan", "top_p:0.5,sink=0",
        "top_k:4,rerank=0", "top_k:4,rerank=65", "top_p:0.5,score=good", "top_p:0.5,local", "dense,size=1"}) {
    const Result<RoutingPolicy> policy = RoutingPolicy::Parse(text);
    EXPECT_FALSE(policy.ok()) << text;
  }
}

// [begin, end) and the sinks.
std::vector<size_t> Numbers(const RoutingPolicy::Ranges& ranges) {
  return {ranges.begin, ranges.end, ranges.sink_begin, ranges.sink_end};
}

TEST(RoutingPolicyTest, CandidatesLieBetweenSinksAndLocalBlocksAndInTheWindow) {
  const RoutingPolicy policy = {.kind = RoutingPolicy::Kind::kTopK,
                                .max_blocks = 2,
                                .sink_blocks = 2,
                                .local_blocks = 3,
                                .dense_below = 0};
  using List = std::vector<size_t>;
  EXPECT_FALSE(policy.RangesOf(7, 0, 0).HasChoice());  // 2 and 3 are no more than it may read
  EXPECT_EQ(Numbers(policy.RangesOf(8, 0, 0)), (List{0, 5, 0, 2}));
  EXPECT_EQ(Numbers(policy.RangesOf(8, 1, 0)), (List{1, 5, 1, 2}));  // block 0 is hidden
  EXPECT_EQ(Numbers(policy.RangesOf(8, 2, 0)), (List{2, 5, 2, 2}));  // and no sink is left
  EXPECT_FALSE(policy.RangesOf(8, 3, 0).HasChoice());
  EXPECT_FALSE(policy.RangesOf(8, 7, 0).HasChoice());  // the window shows local blocks alone
  // Ten blocks of other sequences in front.
  EXPECT_EQ(Numbers(policy.RangesOf(12, 0, 10)), (List{0, 10, 10, 10}));  // all own ones are read
  EXPECT_EQ(Numbers(policy.RangesOf(18, 0, 10)), (List{0, 15, 10, 12}));
  EXPECT_EQ(Numbers(policy.RangesOf(18, 9, 10)), (List{9, 15, 10, 12}));
  EXPECT_EQ(Numbers(policy.RangesOf(12, 7, 10)), (List{7, 10, 10, 10}));
  EXPECT_FALSE(policy.RangesOf(12, 10, 10).HasChoice());
  EXPECT_FALSE(RoutingPolicy().RangesOf(100, 0, 0).HasChoice());
}

}  // namespace
}  // namespace qwen25

#include "ops/routing/routing_policy.h"

#include <gtest/gtest.h>

namespace qwen25 {
namespace {

TEST(RoutingPolicyTest, ParsesWhatItPrints) {
  for (const char* text : {"dense", "top_k:7", "top_p:0.5,max_blocks=9,score=mean,sink=2,local=0",
                           "top_k:16,score=bound,dense_below=0,max_missed=0.25"}) {
    const Result<RoutingPolicy> policy = RoutingPolicy::Parse(text);
    ASSERT_TRUE(policy.ok()) << policy.status().message();
    const Result<RoutingPolicy> again = RoutingPolicy::Parse(policy->ToString());
    ASSERT_TRUE(again.ok()) << again.status().message();
    EXPECT_EQ(*policy, *again);
  }
  for (const char* text : {"", "best", "top_k:0", "top_k:x", "top_p:1.5", "top_p:0.5,", "top_p:nan",
                           "top_p:0.5,sink=0", "top_p:0.5,score=good", "top_p:0.5,local", "dense,size=1"}) {
    const Result<RoutingPolicy> policy = RoutingPolicy::Parse(text);
    EXPECT_FALSE(policy.ok()) << text;
  }
}

}  // namespace
}  // namespace qwen25

// A decode step in a warm session must not touch the heap.
#include "base/allocation_counter.h"

#include "base/test_util.h"
#include "infer/sampler.h"
#include "infer/session.h"

namespace qwen25 {
namespace {

TEST(DecodeAllocationTest, AWarmSessionDecodesWithoutTheHeap) {
  if (!QWEN25_COUNTS_ALLOCATIONS) GTEST_SKIP() << "SKIPPED: a sanitizer's allocator does not count";
  Model model(*FindPreset("nano"));
  model.Initialize(1);
  for (size_t num_threads : {1, 2}) {
    Model copy(model.config());
    copy.Initialize(1);
    InferenceEngine engine(std::move(copy), {.num_threads = num_threads});
    Session session(engine);
    SamplingOptions options;
    options.repetition_penalty = 1.1f;
    Sampler sampler(options, model.config().vocab_size);
    const std::vector<int32_t> prompt = {1, 2, 3, 4, 5};
    for (bool warm : {false, true}) {
      session.Truncate(0);
      ASSERT_OK(session.Append(prompt));
      const AllocationCounter counter;
      for (int i = 0; i < 150; ++i) {  // over two borders of blocks
        const int32_t token = sampler.Sample(session.logits(), session.tokens());
        ASSERT_OK(session.Append({&token, 1}));
      }
      if (warm) {
        EXPECT_EQ(counter.count(), 0u) << num_threads << " threads";
      } else {
        EXPECT_GT(counter.count(), 0u) << "the counter does not count";
      }
    }
  }
}

}  // namespace
}  // namespace qwen25

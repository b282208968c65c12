#include "eval/routing_calibration.h"

#include <gtest/gtest.h>

#include <string>

#include "base/test_util.h"
#include "eval/eval_test_util.h"

namespace qwen25 {
namespace {

std::string Text() {
  std::string text;
  for (int i = 0; i < 300; ++i) text += std::to_string(i * i) + " ";
  return text;
}

CalibrationOptions Options(double max_loss) {
  CalibrationOptions options = {.window = 1024, .max_loss = max_loss};
  options.policies = {RoutingPolicy::Parse("top_k:8,dense_below=64,local=0").value(),
                      RoutingPolicy::Parse("top_k:1,dense_below=64,local=0").value(),
                      RoutingPolicy::Parse("top_k:1,dense_below=64,local=0,rerank=4").value()};
  return options;
}

TEST(CalibrateRouting, ChoosesTheLeastWorkWithinTheLoss) {
  const Model model = LongByteModel(1024);
  uint64_t read = 0;
  const auto calibration = CalibrateRouting(model, ByteTokenizer(), Text(), Options(10),
                                            [&](uint64_t done, std::optional<uint64_t> total) {
                                              EXPECT_GE(done, read);
                                              EXPECT_LE(done, total.value_or(done));
                                              read = done;
                                              return true;
                                            });
  ASSERT_OK(calibration);
  EXPECT_GT(calibration->dense_perplexity, 1);
  EXPECT_EQ(calibration->num_tokens, 1023u);
  EXPECT_EQ(read, 4 * 1023u);
  ASSERT_EQ(calibration->points.size(), 3u);
  EXPECT_EQ(calibration->points[0].reranked_share, 0);
  EXPECT_GT(calibration->points[2].reranked_share, calibration->points[2].read_share / 2);
  EXPECT_LT(calibration->points[1].Work(), calibration->points[2].Work());
  EXPECT_LT(calibration->points[2].read_share, calibration->points[0].read_share);
  EXPECT_EQ(calibration->chosen, 1u) << "any loss is allowed";
  const std::string chart = RenderCalibration(*calibration);
  EXPECT_NE(chart.find("<svg"), std::string::npos);
  EXPECT_NE(chart.find("score=outlier,rerank=4"), std::string::npos);
}

TEST(CalibrateRouting, CandidatesFitTheWindow) {
  for (const uint32_t window : {256u, 2048u, 8192u, 131072u}) {
    for (const RoutingPolicy& policy : CandidatePolicies(window)) {
      EXPECT_OK(policy.Validate());
      EXPECT_LT(policy.dense_below, window / 4);
      EXPECT_LE(policy.max_blocks, window / 64 / 4);
    }
  }
  EXPECT_EQ(CandidatePolicies(8192)[1].ToString(),
            RoutingPolicy::Parse("top_k:16,dense_below=1024")->ToString());
}

TEST(CalibrateRouting, NoneIsChosenIfAllLoseTooMuch) {
  const auto calibration = CalibrateRouting(LongByteModel(1024), ByteTokenizer(), Text(), Options(-1));
  ASSERT_OK(calibration);
  EXPECT_FALSE(calibration->chosen);
}

TEST(CalibrateRouting, AShortTextAndAnEndAreErrors) {
  const Model model = LongByteModel(1024);
  EXPECT_ERROR_CONTAINS(CalibrateRouting(model, ByteTokenizer(), "short", Options(1)), "give a longer text");
  EXPECT_ERROR_CONTAINS(CalibrateRouting(model, ByteTokenizer(), Text(), Options(1),
                                         [](uint64_t, std::optional<uint64_t>) { return false; }),
                        "stopped");
}

}  // namespace
}  // namespace qwen25

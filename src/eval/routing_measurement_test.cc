#include "eval/routing_measurement.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/test_util.h"
#include "eval/eval_test_util.h"

namespace qwen25 {
namespace {

TEST(RoutingMeasurementTest, CellsAndBudgetsCountWhatTheTraceSays) {
  RoutingTrace trace(/*num_layers=*/2, /*num_kv_heads=*/2, /*num_tokens=*/128);
  for (size_t layer = 0; layer < 2; ++layer) {
    for (size_t kv_head = 0; kv_head < 2; ++kv_head) {
      for (size_t t = 0; t < 128; ++t) {
        // All tokens read their own block. In layer 1, tokens of the second block also read the first one
        // with the first kv head.
        trace.Row(layer, kv_head, t)[0] = t < 64 ? 1 : layer == 1 && kv_head == 0 ? 3 : 2;
      }
    }
  }
  EXPECT_EQ(RoutingCells(trace, 0, 2), (std::vector<double>{1, 0, 0, 1}));
  EXPECT_EQ(RoutingCells(trace, 1, 2), (std::vector<double>{1, 0, 0.5, 1}));
  EXPECT_EQ(RoutingCells(trace, 1, 1), (std::vector<double>{(128.0 + 64 + 128) / (128 + 128 + 128)}));
  EXPECT_EQ(BlocksReadPerToken(trace, 0)[10], 1);
  EXPECT_EQ(BlocksReadPerToken(trace, 0)[100], 1.25);
  EXPECT_EQ(BlocksReadPerToken(trace, 1)[100], 1.5);
}

TEST(RoutingMeasurementTest, ATextIsMeasuredDenselyAndRouted) {
  const Tokenizer tokenizer = ByteTokenizer();
  InferenceEngine engine(ByteModel(1),
                         {.num_threads = 2,
                          .routing = RoutingPolicy::Parse("top_k:1,local=0,dense_below=0").value(),
                          .keep_summaries = true});
  std::string text;
  while (text.size() < 250) text += "some words and \xC3\xA9 ";
  const std::vector<int32_t> tokens = tokenizer.Encode(text.substr(0, 250));
  std::vector<std::string> passes;
  const auto map = MeasureRouting(engine, tokenizer, tokens, [&](std::string_view pass, size_t) {
    if (passes.empty() || passes.back() != pass) passes.emplace_back(pass);
    return true;
  });
  ASSERT_OK(map.status());
  EXPECT_EQ(passes, (std::vector<std::string>{"dense", "routed", "tracing"}));
  EXPECT_EQ(map->side, 4u);
  ASSERT_EQ(map->layers.size(), 2u);
  for (const RoutingMapLayer& layer : map->layers) {
    EXPECT_TRUE(layer.routed);
    EXPECT_LT(layer.read_share, 1);
    EXPECT_GT(layer.saved_gflops, 0);
    EXPECT_EQ(layer.cells.size(), 16u);
  }
  EXPECT_EQ(map->blocks_read.back(), 3) << "sink, own and one more";
  std::string whole;
  for (const std::string& token : map->tokens) whole += token;
  EXPECT_EQ(whole, tokenizer.Decode(tokens));
  const auto stopped = MeasureRouting(engine, tokenizer, tokens,
                                      [](std::string_view pass, size_t) { return pass == "dense"; });
  EXPECT_EQ(stopped.status().code(), StatusCode::kCancelled);
  EXPECT_ERROR_CONTAINS(MeasureRouting(engine, tokenizer, std::vector<int32_t>(257)), "257 tokens");
  EXPECT_ERROR_CONTAINS(MeasureRouting(engine, tokenizer, {}), "empty");
}

}  // namespace
}  // namespace qwen25

#include "serve/metrics.h"

#include <gtest/gtest.h>

namespace qwen25 {
namespace {

TEST(MetricsTextTest, IsThatOfPrometheus) {
  MetricsText text;
  text.Begin("a_total", "counter", "What it counts.");
  text.Sample({}, 3);
  text.Sample({{"x", "1"}, {"y", "a\"b\\c\nd"}}, 0.5);
  Histogram histogram({0.1, 1});
  for (const double value : {0.05, 0.1, 0.5, 7.0}) histogram.Add(value);
  text.Begin("b_seconds", "histogram", "Time.");
  text.Sample({{"m", "n"}}, histogram);
  EXPECT_EQ(
      text.text(),
      "# HELP a_total What it counts.\n# TYPE a_total counter\na_total 3\n"
      "a_total{x=\"1\",y=\"a\\\"b\\\\c\\nd\"} 0.5\n"
      "# HELP b_seconds Time.\n# TYPE b_seconds histogram\n"
      "b_seconds_bucket{m=\"n\",le=\"0.1\"} 2\nb_seconds_bucket{m=\"n\",le=\"1\"} 3\n"
      "b_seconds_bucket{m=\"n\",le=\"+Inf\"} 4\nb_seconds_sum{m=\"n\"} 7.65\nb_seconds_count{m=\"n\"} 4\n");
}

TEST(ModelMetricsTest, EveryModelHasEveryFigure) {
  ModelMetrics first = {.name = "first"}, second = {.name = "second"};
  first.stats.num_ended = {{FinishReason::kLength, 2}, {FinishReason::kContextFull, 1}};
  first.stats.num_stored_tokens = 64;
  MetricsText text;
  WriteModelMetrics({first, second}, text);
  for (const char* line :
       {"qwen25_requests_total{model=\"first\",reason=\"length\"} 2\n",
        "qwen25_requests_total{model=\"first\",reason=\"context full\"} 1\n",
        "qwen25_prompt_tokens_known_total{model=\"first\",tier=\"store\"} 64\n",
        "qwen25_kv_blocks{model=\"second\"} 0\n", "qwen25_first_token_seconds_count{model=\"second\"} 0\n"}) {
    EXPECT_NE(text.text().find(line), std::string::npos) << line;
  }
}

}  // namespace
}  // namespace qwen25

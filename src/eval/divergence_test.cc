#include "eval/divergence.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "base/test_util.h"
#include "eval/eval_test_util.h"
#include "model/decoder.h"

namespace qwen25 {
namespace {

const std::string kText = "Some words, and some more of them, whose letters a model may find likely or not.";

TEST(ModelComparisonTest, AModelDoesNotDivergeFromItself) {
  const Tokenizer tokenizer = ByteTokenizer();
  ModelComparison comparison(tokenizer);
  ASSERT_OK(comparison.AddModel("reference", ByteModel(1), tokenizer));
  ASSERT_OK(comparison.AddModel("same", ByteModel(1), tokenizer));
  ASSERT_OK(comparison.AddText(kText, 32, 0));
  const std::vector<ModelDivergence> rows = comparison.Summarize();
  ASSERT_EQ(rows.size(), 2u);
  for (const ModelDivergence& row : rows) {
    EXPECT_EQ(row.mean_divergence, 0);
    EXPECT_EQ(row.divergence_99, 0);
    EXPECT_EQ(row.same_top, 1);
    EXPECT_EQ(row.perplexity, rows[0].perplexity);
    EXPECT_EQ(row.perplexity_change, 0);
  }
  EXPECT_EQ(rows[1].name, "same");
}

// [tokens, vocab] Log probabilities, in double.
std::vector<std::vector<double>> LogProbabilities(const Model& model, const std::vector<int32_t>& tokens) {
  ThreadPool threads(1);
  TensorPool tensors;
  Scratch scratch(1);
  Execution execution{threads, tensors, scratch, nullptr};
  std::vector<int32_t> rows(tokens.size());
  std::iota(rows.begin(), rows.end(), 0);
  const std::vector<int32_t> starts = {0, static_cast<int32_t>(tokens.size())};
  const Tensor logits =
      Logits(execution, model, DecoderForward(execution, model, {tokens, rows, starts}), rows);
  std::vector<std::vector<double>> result;
  for (size_t row = 0; row < tokens.size(); ++row) {
    std::vector<double>& log_p =
        result.emplace_back(logits.view().Row(row), logits.view().Row(row) + logits.cols());
    double sum = 0;
    for (const double x : log_p) sum += std::exp(x);
    for (double& x : log_p) x -= std::log(sum);
  }
  return result;
}

TEST(ModelComparisonTest, FiguresAreThoseOfTheTextbook) {
  const Tokenizer tokenizer = ByteTokenizer();
  ModelComparison comparison(tokenizer);
  ASSERT_OK(comparison.AddModel("reference", ByteModel(1), tokenizer));
  ASSERT_OK(comparison.AddModel("other", ByteModel(2), tokenizer));
  constexpr size_t kWindow = 24;
  ASSERT_OK(comparison.AddText(kText, kWindow, 0));

  const Model reference = ByteModel(1), other = ByteModel(2);
  const std::vector<int32_t> tokens = tokenizer.Encode(kText);
  std::vector<double> divergences;
  double nats = 0, same = 0;
  for (size_t begin = 0; begin < tokens.size(); begin += kWindow) {
    const size_t end = std::min(tokens.size(), begin + kWindow);
    const std::vector<int32_t> window(tokens.begin() + begin, tokens.begin() + end);
    const auto p = LogProbabilities(reference, window), q = LogProbabilities(other, window);
    for (size_t i = 0; i + 1 < window.size(); ++i) {
      double sum = 0;
      for (size_t v = 0; v < p[i].size(); ++v) sum += std::exp(p[i][v]) * (p[i][v] - q[i][v]);
      divergences.push_back(sum);
      nats -= q[i][static_cast<size_t>(window[i + 1])];
      same += std::ranges::max_element(p[i]) - p[i].begin() == std::ranges::max_element(q[i]) - q[i].begin();
    }
  }
  const double count = static_cast<double>(divergences.size());
  EXPECT_EQ(comparison.num_tokens(), divergences.size());
  const ModelDivergence row = comparison.Summarize()[1];
  EXPECT_NEAR(row.perplexity, std::exp(nats / count), 1e-4 * row.perplexity);
  EXPECT_NEAR(row.mean_divergence, std::accumulate(divergences.begin(), divergences.end(), 0.0) / count,
              1e-4);
  std::ranges::sort(divergences);
  EXPECT_NEAR(row.divergence_99, divergences[static_cast<size_t>(0.99 * (count - 1))], 1e-3);
  EXPECT_NEAR(row.same_top, same / count, 1e-12);
}

TEST(ModelComparisonTest, StopsAfterSoManyTokens) {
  const Tokenizer tokenizer = ByteTokenizer();
  ModelComparison comparison(tokenizer);
  ASSERT_OK(comparison.AddModel("reference", ByteModel(1), tokenizer));
  ASSERT_OK(comparison.AddText(kText, 16, 40));
  EXPECT_EQ(comparison.num_tokens(), 40u);
  EXPECT_EQ(comparison.AddText(kText, 16, 80, [](uint64_t) { return false; }).code(), StatusCode::kCancelled);
}

TEST(ModelComparisonTest, TheLongestWindowIsThatOfTheShortestModel) {
  ModelConfig config = ByteModelConfig();
  config.max_position_embeddings = 16;
  config.rope_scaling = RopeScaling{.type = "yarn", .factor = 4, .original_max_position_embeddings = 16};
  const Tokenizer tokenizer = ByteTokenizer();
  ModelComparison comparison(tokenizer);
  ASSERT_OK(comparison.AddModel("reference", ByteModel(1), tokenizer));
  EXPECT_EQ(comparison.max_window(), 256u);
  ASSERT_OK(comparison.AddModel("stretched", ByteModel(1, config), tokenizer));
  EXPECT_EQ(comparison.max_window(), 64u);
  EXPECT_OK(comparison.AddText(kText, 64, 0));
}

TEST(ModelComparisonTest, ModelsThatCannotBeComparedAreRefused) {
  const Tokenizer tokenizer = ByteTokenizer();
  ModelComparison comparison(tokenizer);
  ASSERT_OK(comparison.AddModel("reference", ByteModel(1), tokenizer));
  EXPECT_ERROR_CONTAINS(comparison.AddModel("other", ByteModel(1), ByteTokenizer("<end>")), "token 256");
  ModelConfig config = ByteModelConfig();
  config.vocab_size = 300;
  EXPECT_ERROR_CONTAINS(comparison.AddModel("wide", ByteModel(1, config), tokenizer), "300 embedding rows");
  // Added tokens beyond the rows matter where a text holds one.
  config.vocab_size = 256;
  ModelComparison narrow(tokenizer);
  ASSERT_OK(narrow.AddModel("narrow", ByteModel(1, config), tokenizer));
  EXPECT_OK(narrow.AddText("a text", 32, 0));
  const std::string added = tokenizer.spec().added_tokens[0].content;
  EXPECT_ERROR_CONTAINS(narrow.AddText("a " + added, 32, 0), "the text holds the token 256 (");
}

TEST(ModelComparisonTest, NumbersThatAreNotFiniteAreAnErrorOfTheirModel) {
  const Tokenizer tokenizer = ByteTokenizer();
  for (const float bad : {3e38f, std::numeric_limits<float>::quiet_NaN()}) {
    ModelComparison comparison(tokenizer);
    ASSERT_OK(comparison.AddModel("reference", ByteModel(1), tokenizer));
    Model damaged = ByteModel(1);
    std::fill_n(damaged.layers[1].down_proj.data, 64, bad);
    ASSERT_OK(comparison.AddModel("damaged", std::move(damaged), tokenizer));
    const Status status = comparison.AddText(kText, 32, 0);
    EXPECT_EQ(status.code(), StatusCode::kCorrupt);
    EXPECT_ERROR_CONTAINS(status, "damaged: ");
    EXPECT_ERROR_CONTAINS(status, "model.layers.1");
  }
}

}  // namespace
}  // namespace qwen25

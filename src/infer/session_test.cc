#include "infer/session.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "base/rng.h"
#include "base/test_util.h"
#include "infer/tiny_model_test_util.h"

namespace qwen25 {
namespace {

ModelConfig SmallConfig() {
  ModelConfig config;
  config.vocab_size = 333;
  config.hidden_size = 96;
  config.intermediate_size = 80;  // not whole groups of 32: padded
  config.num_hidden_layers = 2;
  config.num_attention_heads = 6;
  config.num_key_value_heads = 2;
  config.head_dim = 16;
  config.max_position_embeddings = 512;
  return config;
}

// `gated`: with head routing.
Result<Model> PackedModel(WeightFormat format, bool gated = false) {
  ThreadPool threads(2);
  ModelConfig config = SmallConfig();
  if (gated) {
    config.num_key_value_heads = 3;
    config.head_routing = HeadRouting{.shared_groups = 1, .top_k = 1};
  }
  return Model::Pack(
      config, format, threads,
      [](const NamedParameter& named, size_t begin, size_t end, float* out) -> Status {
        const size_t cols = named.parameter.cols;
        for (size_t row = begin; row < end; ++row) {
          Rng rng(std::hash<std::string>()(named.name), row);
          for (size_t i = 0; i < cols; ++i) {
            *out++ = static_cast<float>(named.name.ends_with("norm.weight") ? 1.0 : 0.08 * rng.Normal());
          }
        }
        return {};
      });
}

std::vector<float> LogitsOf(Session& session) {
  return {session.logits().begin(), session.logits().end()};
}

// The formats of weights and of keys and values, and whether there are gates.
struct Formats {
  WeightFormat weights;
  KvFormat kv;
  bool gated = false;
};

class SessionTest : public testing::TestWithParam<Formats> {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(Model model, PackedModel(GetParam().weights, GetParam().gated));
    engine_ = std::make_unique<InferenceEngine>(
        std::move(model),
        InferenceEngine::Options{.num_threads = 2, .max_total_tokens = 8192, .kv_format = GetParam().kv});
  }
  std::vector<float> Alone(const std::vector<int32_t>& tokens) {
    Session session(*engine_);
    QWEN25_CHECK(session.Append(tokens).ok());
    return LogitsOf(session);
  }
  std::unique_ptr<InferenceEngine> engine_;
};

TEST_P(SessionTest, ChunksOfAPromptDoNotChangeABit) {
  const std::vector<int32_t> tokens = RandomTokens(333, 200, 1);
  const std::vector<float> whole = Alone(tokens);
  for (const size_t chunk : {1, 7, 64, 65}) {
    Session session(*engine_);
    for (size_t begin = 0; begin < tokens.size(); begin += chunk) {
      ASSERT_OK(session.Append(std::span(tokens).subspan(begin, std::min(chunk, tokens.size() - begin))));
    }
    EXPECT_EQ(LogitsOf(session), whole) << chunk;
  }
}

TEST_P(SessionTest, CompanyInABatchDoesNotChangeABit) {
  // Prompts and single tokens of different lengths, as in a serving step.
  std::vector<std::unique_ptr<Session>> sessions;
  std::vector<std::vector<int32_t>> prompts;
  std::vector<int32_t> next = RandomTokens(333, 16, 99);
  std::vector<SessionTokens> parts;
  for (size_t i = 0; i < 16; ++i) {
    sessions.push_back(std::make_unique<Session>(*engine_));
    prompts.push_back(RandomTokens(333, 1 + 13 * i % 150, i));
  }
  for (size_t i = 0; i < 16; ++i) parts.push_back({sessions[i].get(), prompts[i]});
  ASSERT_OK(AppendTogether(*engine_, parts));
  for (size_t i = 0; i < 16; ++i) ASSERT_EQ(LogitsOf(*sessions[i]), Alone(prompts[i])) << i;
  for (size_t i = 0; i < 16; ++i) parts[i].tokens = {&next[i], 1};
  ASSERT_OK(AppendTogether(*engine_, parts));
  for (size_t i = 0; i < 16; ++i) {
    prompts[i].push_back(next[i]);
    ASSERT_EQ(LogitsOf(*sessions[i]), Alone(prompts[i])) << i;
  }
}

TEST_P(SessionTest, ARefusedBatchChangesNothing) {
  Session first(*engine_), second(*engine_);
  const std::vector<int32_t> good = {1, 2, 3}, bad = {4, 333};
  const size_t used = engine_->blocks().num_used();
  const std::vector<SessionTokens> parts = {{&first, good}, {&second, bad}};
  EXPECT_ERROR_CONTAINS(AppendTogether(*engine_, parts),
                        "token 333 is outside the model's vocabulary of 333");
  EXPECT_TRUE(first.tokens().empty());
  EXPECT_EQ(engine_->blocks().num_used(), used);
}

TEST_P(SessionTest, RowsWithoutLogitsLeaveTheOthersUnchanged) {
  const std::vector<int32_t> prompt = RandomTokens(333, 150, 1), other = RandomTokens(333, 70, 2);
  Session first(*engine_), second(*engine_);
  // A chunk of a prompt that needs no logits, beside a session that does.
  const std::vector<SessionTokens> parts = {{&first, std::span(prompt).first(100), 0}, {&second, other}};
  ASSERT_OK(AppendTogether(*engine_, parts));
  EXPECT_TRUE(first.logits().empty());
  EXPECT_EQ(LogitsOf(second), Alone(other));
  ASSERT_OK(second.Append(std::span(prompt).first(30), nullptr, 0));
  EXPECT_TRUE(second.logits().empty());
  ASSERT_OK(first.Append(std::span(prompt).subspan(100)));
  EXPECT_EQ(LogitsOf(first), Alone(prompt));
}

INSTANTIATE_TEST_SUITE_P(Formats, SessionTest,
                         testing::Values(Formats{WeightFormat::kFloat32, KvFormat::kFloat32},
                                         Formats{WeightFormat::kBFloat16, KvFormat::kFloat16},
                                         Formats{WeightFormat::kInt8, KvFormat::kFloat16},
                                         Formats{WeightFormat::kInt4, KvFormat::kFloat32},
                                         Formats{WeightFormat::kInt8, KvFormat::kInt8},
                                         Formats{WeightFormat::kInt8, KvFormat::kFloat16, /*gated=*/true}),
                         [](const auto& info) {
                           return fmt::format("{}_kv_{}{}", WeightFormatName(info.param.weights),
                                              KvFormatName(info.param.kv), info.param.gated ? "_gated" : "");
                         });

// Numbers of one session that are not finite do not affect the others in its pass.
TEST(SessionOverflowTest, OnlyTheSessionThatOverflowsIsRefused) {
  const auto make_model = [](float value) {
    ModelConfig config = SmallConfig();
    config.tie_word_embeddings = false;  // the output must not hold the number
    Model model(config);
    model.Initialize(1);
    model.embed_tokens.data[7 * SmallConfig().hidden_size] = value;
    return model;
  };
  InferenceEngine engine(make_model(std::numeric_limits<float>::infinity()),
                         {.num_threads = 1, .max_total_tokens = 2048});
  const std::vector<int32_t> prompt = {1, 2, 3}, good = {4, 5}, bad = {5, 7};
  Session first(engine), second(engine), third(engine);
  for (Session* session : {&first, &second, &third}) ASSERT_OK(session->Append(prompt));
  const std::vector<SessionTokens> parts = {{&first, good}, {&second, bad}, {&third, good}};
  EXPECT_ERROR_CONTAINS(AppendTogether(engine, parts), "not finite, first in model.embed_tokens");
  EXPECT_EQ(second.error().code(), StatusCode::kCorrupt);
  EXPECT_EQ(second.tokens().size(), prompt.size());
  EXPECT_TRUE(second.logits().empty());
  Session alone(engine);
  ASSERT_OK(alone.Append(std::vector<int32_t>{1, 2, 3, 4, 5}));
  for (Session* session : {&first, &third}) {
    EXPECT_OK(session->error());
    EXPECT_EQ(LogitsOf(*session), LogitsOf(alone));
  }
  ASSERT_OK(second.Append(good));
  EXPECT_OK(second.error());
  EXPECT_EQ(LogitsOf(second), LogitsOf(alone));
}

class RefusedAppendTest : public testing::Test {
 protected:
  static InferenceEngine::Options Options() {
    // Room for 8 blocks of all sessions together.
    return {.num_threads = 1, .max_context_tokens = 512, .max_total_tokens = 512};
  }
  InferenceEngine engine_{PackedModel(WeightFormat::kFloat32).value(), Options()};
};

TEST_F(RefusedAppendTest, ASessionIsAppendedToOnce) {
  Session first(engine_), second(engine_);
  const std::vector<int32_t> tokens = {1, 2, 3};
  const std::vector<SessionTokens> parts = {{&first, tokens}, {&second, tokens}, {&first, tokens}};
  EXPECT_ERROR_CONTAINS(AppendTogether(engine_, parts),
                        "part 3 of 3 is of the same session as an earlier one");
  EXPECT_TRUE(first.tokens().empty() && second.tokens().empty());
  EXPECT_EQ(engine_.blocks().num_used(), 0u);
}

TEST_F(RefusedAppendTest, AFailedReservationLeavesTokensAndLogits) {
  Session holder(engine_), session(engine_), third(engine_);
  ASSERT_OK(holder.Append(RandomTokens(333, 6 * kBlockTokens, 1)));
  ASSERT_OK(session.Append(RandomTokens(333, kBlockTokens - 1, 2)));
  const std::vector<float> logits = LogitsOf(session);
  const std::vector<int32_t> many = RandomTokens(333, 2 * kBlockTokens, 3), few = {5};
  const auto check = [&](const Status& status) {
    EXPECT_EQ(status.code(), StatusCode::kResourceExhausted) << status.message();
    EXPECT_EQ(session.tokens().size(), kBlockTokens - 1);
    EXPECT_EQ(LogitsOf(session), logits);
    EXPECT_EQ(engine_.blocks().num_used(), 7u);
  };
  check(session.Append(many));
  check(AppendTogether(engine_, std::vector<SessionTokens>{{&third, few}, {&session, many}}));
  check(AppendTogether(engine_, std::vector<SessionTokens>{{&session, few}, {&third, many}}));
  const auto stop = [](size_t) { return false; };
  EXPECT_EQ(session.Append(few, stop).code(), StatusCode::kCancelled);
  EXPECT_EQ(LogitsOf(session), logits);
}

TEST(SessionFormatsTest, QuantisedLogitsAreNearThoseOfFloat32) {
  const std::vector<int32_t> tokens = RandomTokens(333, 100, 5);
  std::vector<std::vector<float>> logits;
  for (const WeightFormat format : {WeightFormat::kFloat32, WeightFormat::kInt8, WeightFormat::kInt4}) {
    ASSERT_OK_AND_ASSIGN(Model model, PackedModel(format));
    InferenceEngine engine(std::move(model), {.num_threads = 1});
    Session session(engine);
    ASSERT_OK(session.Append(tokens));
    logits.push_back(LogitsOf(session));
  }
  const auto relative_error = [&](const std::vector<float>& other) {
    double error = 0, norm = 0;
    for (size_t i = 0; i < other.size(); ++i) {
      error += std::pow(other[i] - logits[0][i], 2);
      norm += std::pow(logits[0][i], 2);
    }
    return std::sqrt(error / norm);
  };
  EXPECT_LT(relative_error(logits[1]), 0.04);
  EXPECT_LT(relative_error(logits[2]), 0.5);
  EXPECT_GT(relative_error(logits[2]), relative_error(logits[1]));
}

}  // namespace
}  // namespace qwen25

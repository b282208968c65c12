// Every architecture through the cache of keys and values, held to transformers' logits of whole sequences:
// the fixtures of tests/reference/make_model_fixtures.py.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>

#include "base/file.h"
#include "base/json.h"
#include "base/test_util.h"
#include "infer/session.h"

namespace qwen25 {
namespace {

const std::filesystem::path kFixtures = SourcePath("tests/reference/fixtures");

// The first sequence of a fixture.
struct Expected {
  std::vector<int32_t> tokens, rows;
  std::vector<float> logits;  // [rows, vocabulary]
  size_t vocabulary = 0;

  // Reads the safetensors file itself: its reader is in a layer that this one does not include.
  explicit Expected(const std::string& name) {
    const std::string file = ReadFile(kFixtures / name / "expected.safetensors").value();
    uint64_t header_bytes = 0;
    std::memcpy(&header_bytes, file.data(), sizeof header_bytes);
    const Json header = ParseJson(file.substr(8, header_bytes), name).value();
    const auto read = [&](const char* key, auto& numbers) {
      const auto begin = header.at(key).at("data_offsets").at(0).get<size_t>(),
                 end = header.at(key).at("data_offsets").at(1).get<size_t>();
      numbers.resize((end - begin) / sizeof numbers[0]);
      std::memcpy(numbers.data(), file.data() + 8 + header_bytes + begin, end - begin);
    };
    std::vector<int32_t> starts;
    read("tokens", tokens);
    read("sequence_starts", starts);
    tokens.resize(static_cast<size_t>(starts[1]));
    read("logit_rows", rows);
    read("logits", logits);
    vocabulary = logits.size() / rows.size();
  }
  // Null if the fixture does not have this row.
  const float* Row(size_t token) const {
    const auto found = std::ranges::find(rows, static_cast<int32_t>(token));
    return found == rows.end() ? nullptr : logits.data() + (found - rows.begin()) * int64_t(vocabulary);
  }
};

// The greatest error of the logits after each chunk, as a share of the greatest logit. The sequence is read
// in chunks of these sizes, over and over.
double WorstError(const std::string& name, const InferenceEngine::Options& options,
                  const std::vector<size_t>& chunks) {
  InferenceEngine engine(Model::Load(kFixtures / name).value(), options);
  Session session(engine);
  const Expected expected(name);
  double worst = 0, greatest = 0;
  size_t compared = 0;
  for (size_t done = 0, i = 0; done < expected.tokens.size(); ++i) {
    const size_t count = std::min(chunks[i % chunks.size()], expected.tokens.size() - done);
    EXPECT_OK(session.Append(std::span(expected.tokens).subspan(done, count)));
    done += count;
    const float* wanted = expected.Row(done - 1);
    if (wanted == nullptr) continue;
    ++compared;
    for (size_t j = 0; j < expected.vocabulary; ++j) {
      greatest = std::max(greatest, std::fabs(double{wanted[j]}));
      worst = std::max(worst, std::fabs(double{session.logits()[j]} - wanted[j]));
    }
  }
  EXPECT_GT(compared, 0u);
  return worst / greatest;
}

class ArchitectureTest : public testing::TestWithParam<const char*> {};

TEST_P(ArchitectureTest, TokenByTokenGivesTheLogitsOfTheWhole) {
  EXPECT_LT(WorstError(GetParam(), {.num_threads = 2}, {1}), 1e-4);
}

TEST_P(ArchitectureTest, ChunksGiveTheLogitsOfTheWhole) {
  EXPECT_LT(WorstError(GetParam(), {.num_threads = 2}, {66, 5, 1, 20}), 1e-4);
}

TEST_P(ArchitectureTest, NarrowKeysAndValuesComeClose) {
  EXPECT_LT(WorstError(GetParam(), {.num_threads = 2, .kv_format = KvFormat::kFloat16}, {30, 1}), 3e-3);
  EXPECT_LT(WorstError(GetParam(), {.num_threads = 2, .kv_format = KvFormat::kInt8}, {30, 1}), 6e-2);
}

// A policy that reads every block that a token sees, but in another order.
TEST_P(ArchitectureTest, RoutingThatMissesNothingGivesTheSame) {
  RoutingPolicy policy = {.kind = RoutingPolicy::Kind::kTopP,
                          .max_blocks = 64,
                          .top_p = 0.5f,
                          .local_blocks = 0,
                          .dense_below = 0,
                          .max_missed = 0};
  EXPECT_LT(WorstError(GetParam(), {.num_threads = 2, .routing = policy}, {50, 1, 1, 30}), 1e-4);
}

// Where every layer has a window, a recall window that is longer changes nothing: all that is seen is near.
TEST(MistralTest, ARecallWindowBeyondTheSlidingOneChangesNothing) {
  const ModelConfig config = ModelConfig::Load(kFixtures / "model_mistral/config.json").value();
  ASSERT_EQ(config.sliding_window, 40u);
  TemporaryDirectory spill;
  const RoutingPolicy policy = {
      .kind = RoutingPolicy::Kind::kTopK, .max_blocks = 1, .local_blocks = 0, .dense_below = 64};
  const InferenceEngine::Options options = {.num_threads = 2,
                                            .routing = policy,
                                            .recall_window = 64,
                                            .spill_directory = spill.path(),
                                            .history_bytes = uint64_t{1} << 20};
  ASSERT_OK(InferenceEngine::Check(config, options));
  EXPECT_LT(WorstError("model_mistral", options, {20, 1, 7}), 1e-4);
}

INSTANTIATE_TEST_SUITE_P(Fixtures, ArchitectureTest,
                         testing::Values("model_tied", "model_llama3", "model_longrope", "model_qwen3",
                                         "model_qwen3_bias", "model_llama_bias", "model_mistral",
                                         "model_ministral", "model_qwen2_window", "model_qwen3_window"),
                         [](const auto& info) { return std::string(info.param).substr(6); });

}  // namespace
}  // namespace qwen25

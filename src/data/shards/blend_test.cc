#include "data/shards/blend.h"

#include <rapidcheck.h>

#include <cmath>

#include "base/test_util.h"
#include "store/indexed_dataset.h"

namespace qwen25 {
namespace {

constexpr size_t kDocuments = 60;

// Three corpora; the token ids of corpus i are i * 100 to i * 100 + 99.
class BlendTest : public testing::Test {
 protected:
  void SetUp() override {
    for (int32_t corpus = 0; corpus < 3; ++corpus) {
      prefixes_.push_back(directory_ / fmt::format("corpus{}", corpus));
      ASSERT_OK_AND_ASSIGN(IndexedDatasetWriter writer, IndexedDatasetWriter::Create(prefixes_.back(), 300));
      for (size_t document = 0; document < kDocuments; ++document) {
        std::vector<int32_t> tokens;
        for (size_t i = 0; i < 5 + document % 7; ++i) {
          tokens.push_back(corpus * 100 + static_cast<int32_t>((document * 13 + i) % 100));
        }
        ASSERT_OK(writer.AddDocument(tokens));
      }
      ASSERT_OK(writer.Finish());
    }
  }
  Result<BlendedLoader> Open(std::vector<double> weights, uint64_t seed = 3) {
    std::vector<BlendSource> sources;
    for (size_t i = 0; i < weights.size(); ++i) sources.push_back({{prefixes_[i]}, weights[i]});
    return BlendedLoader::Open(sources, {.sequence_length = 16, .sequences_per_batch = 1, .seed = seed});
  }
  static std::vector<int32_t> Take(BlendedLoader& blend) {
    const auto batch = blend.Next();
    QWEN25_CHECK(batch.ok());
    return {batch->tokens.begin(), batch->tokens.end()};
  }

  TemporaryDirectory directory_;
  std::vector<std::string> prefixes_;
};

TEST_F(BlendTest, EverySourceGetsItsShareAtEveryMoment) {
  EXPECT_TRUE(rc::check("shares", [&] {
    std::vector<double> weights;
    for (int i = 0; i < 3; ++i) weights.push_back(*rc::gen::inRange(1, 1000) / 7.0);
    const double sum = weights[0] + weights[1] + weights[2];
    auto blend = Open(weights);
    RC_ASSERT(blend.ok());
    std::vector<uint64_t> counts(3);
    for (int n = 1; n <= 200; ++n) {
      const std::vector<int32_t> row = Take(*blend);
      const auto corpus = static_cast<size_t>(row[0] / 100);
      for (const int32_t token : row) RC_ASSERT(static_cast<size_t>(token / 100) == corpus);
      ++counts[corpus];
      RC_ASSERT(counts == blend->counts());
      for (size_t i = 0; i < 3; ++i) {
        RC_ASSERT(std::abs(n * weights[i] / sum - static_cast<double>(counts[i])) < 2.0);
      }
    }
  }));
}

TEST_F(BlendTest, ASourceGivesTheRowsThatItGivesAlone) {
  ASSERT_OK_AND_ASSIGN(BlendedLoader blend, Open({3, 1, 2}));
  ASSERT_OK_AND_ASSIGN(
      Loader alone,
      Loader::Open({prefixes_[1]}, {.sequence_length = 16, .sequences_per_batch = 1, .seed = 3}));
  size_t num_rows = 0;
  for (int i = 0; i < 300; ++i) {
    const std::vector<int32_t> row = Take(blend);
    if (row[0] / 100 != 1) continue;
    ASSERT_OK_AND_ASSIGN(const LoaderBatch expected, alone.Next());
    ASSERT_EQ(row, std::vector<int32_t>(expected.tokens.begin(), expected.tokens.end()));
    ++num_rows;
  }
  EXPECT_EQ(num_rows, 50u);
}

TEST_F(BlendTest, ResumesBitForBitAtAnyRow) {
  EXPECT_TRUE(rc::check("a state continues the run", [&] {
    auto blend = Open({0.5, 0.3, 0.2});
    RC_ASSERT(blend.ok());
    const std::vector<int32_t> first = Take(*blend);
    for (int i = *rc::gen::inRange(0, 100); i > 0; --i) Take(*blend);
    const std::string state = blend->State().dump();
    auto resumed = Open({5, 3, 2});  // the same shares
    RC_ASSERT(resumed.ok());
    RC_ASSERT(resumed->SetState(*ParseJson(state, "state")).ok());
    RC_ASSERT(resumed->State().dump() == state);
    for (int i = 0; i < 20; ++i) RC_ASSERT(Take(*resumed) == Take(*blend));
    resumed->Rewind();
    RC_ASSERT(Take(*resumed) == first);
  }));
}

TEST_F(BlendTest, WrongWeightsAndForeignStatesAreNamedAndChangeNothing) {
  EXPECT_ERROR_CONTAINS(Open({}), "a blend needs at least one source");
  EXPECT_ERROR_CONTAINS(Open({1, 0}), "the weight of source 2 is 0, expected a positive number");
  EXPECT_ERROR_CONTAINS(Open({1, -1}), "the weight of source 2 is -1");
  EXPECT_ERROR_CONTAINS(Open({std::nan(""), 1}), "the weight of source 1 is nan");
  ASSERT_OK_AND_ASSIGN(BlendedLoader blend, Open({2, 1}));
  for (int i = 0; i < 10; ++i) Take(blend);
  const std::string before = blend.State().dump();
  ASSERT_OK_AND_ASSIGN(BlendedLoader other_weights, Open({1, 1}));
  ASSERT_OK_AND_ASSIGN(BlendedLoader more, Open({2, 1, 1}));
  ASSERT_OK_AND_ASSIGN(BlendedLoader other_seed, Open({2, 1}, 4));
  EXPECT_ERROR_CONTAINS(blend.SetState(other_weights.State()), "source 1: its share was 0.5 of the rows");
  EXPECT_ERROR_CONTAINS(blend.SetState(more.State()), "not that of a blend of 2 sources");
  EXPECT_ERROR_CONTAINS(blend.SetState(other_seed.State()), "seed is 4");
  EXPECT_ERROR_CONTAINS(blend.SetState(Json(3)), "not that of a blend");
  Json damaged = Json::parse(before);
  damaged["blend"][0]["place"]["next_stream"] = 5u;  // a good place for the first, which must not stay
  damaged["blend"][1].erase("place");
  EXPECT_ERROR_CONTAINS(blend.SetState(damaged), "source 2 has no place");
  EXPECT_EQ(blend.State().dump(), before);
}

}  // namespace
}  // namespace qwen25

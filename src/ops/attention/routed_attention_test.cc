// Routed attention, held to an oracle over the blocks that it says it read.
#include "ops/attention/routed_attention.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <vector>

#include "ops/attention/routed_attention_test_util.h"

namespace qwen25 {
namespace {

TEST(RoutedAttentionTest, IsExactOverTheBlocksThatItRead) {
  for (const auto kind : {RoutingPolicy::Kind::kTopK, RoutingPolicy::Kind::kTopP}) {
    for (const BlockScore score : {BlockScore::kMean, BlockScore::kBound, BlockScore::kOutlier}) {
      const RoutedProblem problem(16, 6, 2, 1000, 3);
      RoutingTrace trace(1, 2, problem.length);
      LayerRouting routing = {.policy = SmallPolicy(kind), .trace = &trace};
      routing.policy.score = score;
      routing.policy.rerank = score == BlockScore::kMean ? 2 : 1;
      const std::vector<float> out = problem.Run({problem.length}, &routing);
      bool left_out = false;
      for (size_t t = 0; t < problem.length; t += 7) {
        const std::vector<double> expected = problem.Oracle(
            t, [&](size_t kv_head, size_t j) { return trace.Read(0, kv_head, t, j / kBlockTokens); });
        for (size_t i = 0; i < expected.size(); ++i) {
          ASSERT_NEAR(out[t * expected.size() + i], expected[i], 2e-5) << t;
        }
        const size_t own = t / kBlockTokens;
        for (size_t k = 0; k < 2; ++k) {
          EXPECT_TRUE(trace.Read(0, k, t, 0) && trace.Read(0, k, t, own));
          EXPECT_TRUE(own == 0 || trace.Read(0, k, t, own - 1));
          const size_t read = trace.NumRead(0, k, t);
          EXPECT_LE(read, std::min<size_t>(own + 1, 6));
          if (kind == RoutingPolicy::Kind::kTopK) {
            EXPECT_EQ(read, std::min<size_t>(own + 1, 6));
          }
          left_out = left_out || read < own + 1;
        }
      }
      EXPECT_TRUE(left_out);
    }
  }
}

// The shares of a kv head's attention that the candidates [1, num_blocks) have, if the other blocks are
// always read; mean over its query heads.
std::vector<double> TrueShares(const RoutedProblem& problem, size_t position, size_t kv_head,
                               size_t num_blocks) {
  const size_t group = problem.shape.HeadsPerGroup();
  std::vector<double> shares(num_blocks);
  for (size_t h = kv_head * group; h < (kv_head + 1) * group; ++h) {
    std::vector<double> masses(position / kBlockTokens + 1);
    double total = 0;
    for (size_t j = 0; j <= position; ++j) {
      const bool is_hidden = problem.shape.window != kNoWindow && position - j >= problem.shape.window;
      const double p = is_hidden ? 0 : problem.Exponential(position, h, j);
      masses[j / kBlockTokens] += p;
      total += p;
    }
    for (size_t b = 1; b < num_blocks; ++b) shares[b] += masses[b] / total / static_cast<double>(group);
  }
  return shares;
}

// Where all candidates are scored by their keys, those with most of the attention are read.
TEST(RoutedAttentionTest, RerankedBlocksAreThoseOfTheMostAttention) {
  for (const KvFormat format : {KvFormat::kFloat32, KvFormat::kFloat16, KvFormat::kInt8}) {
    for (const size_t window : {kNoWindow, size_t{700}}) {
      RoutedProblem problem(16, 6, 2, 1200, 5, format);
      problem.shape.window = window;
      RoutingTrace trace(1, 2, problem.length);
      RoutingCounts counts;
      LayerRouting routing = {
          .policy = SmallPolicy(RoutingPolicy::Kind::kTopK), .counts = &counts, .trace = &trace};
      routing.policy.rerank = 64;
      problem.Run({600, 600}, &routing);
      double chosen = 0, best = 0;
      for (size_t t = 640; t < problem.length; t += 37) {
        for (size_t k = 0; k < 2; ++k) {
          std::vector<double> shares = TrueShares(problem, t, k, t / kBlockTokens - 1);
          if (window != kNoWindow) shares[0] = 0;
          for (size_t b = 1; b < shares.size(); ++b) chosen += trace.Read(0, k, t, b) ? shares[b] : 0;
          std::ranges::sort(shares, std::greater());
          for (size_t i = 0; i < 3; ++i) best += shares[i];
        }
      }
      EXPECT_GT(chosen, (format == KvFormat::kInt8 ? 0.995 : 0.9999) * best);
      EXPECT_GT(counts.keys_scored, 3 * counts.routed_rows);
      EXPECT_LT(counts.keys_scored, counts.blocks_visible);
    }
  }
}

// Of what a window shows, some is chosen, and nothing else is read.
TEST(RoutedAttentionTest, ChoosesWithinTheWindow) {
  for (const auto kind : {RoutingPolicy::Kind::kTopK, RoutingPolicy::Kind::kTopP}) {
    for (const size_t window : {1, 100, 400, 448, 600}) {
      RoutedProblem problem(16, 6, 2, 1000, 3);
      problem.shape.window = window;
      RoutingTrace trace(1, 2, problem.length);
      RoutingCounts counts;
      LayerRouting routing = {.policy = SmallPolicy(kind), .counts = &counts, .trace = &trace};
      routing.policy.rerank = window == 600 ? 2 : 1;
      const std::vector<float> out = problem.Run({problem.length}, &routing);
      bool left_out = false;
      for (size_t t = 0; t < problem.length; t += 7) {
        const std::vector<double> expected = problem.Oracle(t, [&](size_t kv_head, size_t j) {
          return trace.Read(0, kv_head, t, j / kBlockTokens) && t - j < window;
        });
        for (size_t i = 0; i < expected.size(); ++i) {
          ASSERT_NEAR(out[t * expected.size() + i], expected[i], 2e-5) << window << " " << t;
        }
        const size_t own = t / kBlockTokens, first = t < window ? 0 : (t + 1 - window) / kBlockTokens;
        for (size_t k = 0; k < 2; ++k) {
          EXPECT_TRUE(trace.Read(0, k, t, own));
          size_t read = 0;
          for (size_t block = first; block <= own; ++block) read += trace.Read(0, k, t, block);
          EXPECT_LE(read, std::min<size_t>(own + 1 - first, 6));
          left_out = left_out || read < own + 1 - first;
          if (kind == RoutingPolicy::Kind::kTopK && window >= 448 && own >= window / kBlockTokens + 3) {
            EXPECT_EQ(read, 5u);  // no sink: it is hidden
          }
        }
      }
      if (kind == RoutingPolicy::Kind::kTopK || window >= 400) {
        EXPECT_EQ(left_out, window >= 400) << window;
      }
      EXPECT_LE(counts.blocks_visible, problem.length * 2 * (window / kBlockTokens + 2));
    }
  }
}

TEST(RoutedAttentionTest, ChoosesBlocksThatHoldTheMostAttention) {
  const RoutedProblem problem(16, 6, 2, 1500, 5);
  RoutingTrace trace(1, 2, problem.length);
  const LayerRouting routing = {.policy = SmallPolicy(RoutingPolicy::Kind::kTopK), .trace = &trace};
  problem.Run({problem.length}, &routing);
  // The share of attention that the best three candidates hold, against that of the chosen ones.
  double chosen_share = 0, best_share = 0;
  for (size_t t = 640; t < problem.length; t += 13) {
    const std::vector<float> shares = [&] {
      std::vector<float> result(t / kBlockTokens - 1);
      RoutedProblem one = problem;
      for (size_t b = 1; b < result.size(); ++b) {
        // Values that are 1 in this block and 0 elsewhere make the output the share itself.
        for (size_t j = 0; j <= t; ++j) {
          for (size_t i = 0; i < 32; ++i) {
            one.qkv[j * one.num_cols() + one.shape.ValueColumn(0) + i] = j / kBlockTokens == b;
          }
        }
        const std::vector<double> out = one.Oracle(t, [](size_t, size_t) { return true; });
        for (size_t h = 0; h < 3; ++h) result[b] += static_cast<float>(out[h * 16] / 3);
      }
      return result;
    }();
    std::vector<float> sorted = shares;
    std::ranges::sort(sorted, std::greater());
    for (size_t i = 0; i < 3; ++i) best_share += sorted[i];
    for (size_t b = 1; b < shares.size(); ++b) chosen_share += trace.Read(0, 0, t, b) ? shares[b] : 0;
  }
  EXPECT_GT(chosen_share, 0.9 * best_share);
}

TEST(RoutedAttentionTest, APolicyWithoutAChoiceGivesTheBitsOfDense) {
  for (const KvFormat format : {KvFormat::kFloat32, KvFormat::kFloat16, KvFormat::kInt8}) {
    const RoutedProblem problem(32, 4, 2, 700, 9, format);
    const std::vector<float> dense = problem.Run({700}, nullptr, 1, /*with_panels=*/false);
    LayerRouting routing = {.policy = SmallPolicy(RoutingPolicy::Kind::kTopK)};
    routing.policy.max_blocks = 8;  // 11 blocks less sink, local and own
    EXPECT_EQ(problem.Run({700}, &routing), dense);
    routing.policy = RoutingPolicy();
    EXPECT_EQ(problem.Run({700}, &routing), dense);
    routing.policy = SmallPolicy(RoutingPolicy::Kind::kTopP);
    routing.policy.dense_below = 700;
    EXPECT_EQ(problem.Run({700}, &routing), dense);
    routing.policy.dense_below = 0;
    EXPECT_NE(problem.Run({700}, &routing), dense);
  }
}

TEST(RoutedAttentionTest, ChunksAndThreadsDoNotMatter) {
  EXPECT_TRUE(rc::check([](uint64_t seed) {
    const size_t length = *rc::gen::inRange<size_t>(300, 900);
    const KvFormat format = *rc::gen::element(KvFormat::kFloat32, KvFormat::kFloat16, KvFormat::kInt8);
    RoutedProblem problem(16, 6, 2, length, seed, format);
    problem.shape.window = *rc::gen::element(kNoWindow, size_t{100}, size_t{400}, size_t{423}, size_t{448});
    LayerRouting routing = {
        .policy = SmallPolicy(*rc::gen::element(RoutingPolicy::Kind::kTopK, RoutingPolicy::Kind::kTopP))};
    routing.policy.max_missed = *rc::gen::element(1.0f, 0.9f);
    routing.policy.rerank = *rc::gen::element(1u, 2u, 64u);
    std::vector<size_t> chunks;
    for (size_t left = length; left > 0; left -= chunks.back()) {
      chunks.push_back(std::min(left, *rc::gen::inRange<size_t>(1, 200)));
    }
    RC_ASSERT(problem.Run(chunks, &routing, 2) == problem.Run({length}, &routing));
  }));
}

TEST(RoutedAttentionTest, ARepetitiveTextReadsLess) {
  // The same 48 keys and values over and over, against ever new ones.
  RoutedProblem repeated(16, 2, 1, 1600, 6), fresh(16, 2, 1, 1600, 6);
  for (size_t t = 48; t < 1600; ++t) {
    std::copy_n(repeated.qkv.data() + (t % 48) * repeated.num_cols(), repeated.num_cols(),
                repeated.qkv.data() + t * repeated.num_cols());
  }
  const auto read = [](const RoutedProblem& problem, uint32_t probes) {
    RoutingTrace trace(1, 1, problem.length);
    LayerRouting routing = {.policy = SmallPolicy(RoutingPolicy::Kind::kTopP), .trace = &trace};
    routing.policy.max_blocks = 64;
    routing.policy.probe_blocks = probes;
    problem.Run({problem.length}, &routing);
    size_t count = 0;
    for (size_t t = 1200; t < problem.length; ++t) count += trace.NumRead(0, 0, t) - 3;  // the chosen ones
    return count;
  };
  EXPECT_LT(2 * read(repeated, 2), read(fresh, 2));
  EXPECT_LT(2 * read(repeated, 2), read(repeated, 0));
}

TEST(RoutedAttentionTest, ReadsEverythingWhereTooMuchMayBeMissed) {
  const RoutedProblem problem(16, 4, 1, 900, 2);
  RoutingTrace trace(1, 1, problem.length);
  RoutingCounts counts;
  LayerRouting routing = {
      .policy = SmallPolicy(RoutingPolicy::Kind::kTopK), .counts = &counts, .trace = &trace};
  routing.policy.max_missed = 0;
  const std::vector<float> out = problem.Run({problem.length}, &routing);
  for (size_t t = 0; t < problem.length; ++t) {
    ASSERT_EQ(trace.NumRead(0, 0, t), t / kBlockTokens + 1);
  }
  EXPECT_EQ(counts.blocks_read, counts.blocks_visible);
  EXPECT_EQ(counts.dense_again, counts.routed_rows);
  EXPECT_GT(counts.routed_rows, 0u);
  const std::vector<float> dense = problem.Run({problem.length}, nullptr);
  for (size_t i = 0; i < out.size(); ++i) ASSERT_NEAR(out[i], dense[i], 1e-5);  // another order of blocks
}

TEST(RoutedAttentionTest, CertainShareIsBelowWhatWasRead) {
  const RoutedProblem problem(16, 4, 1, 900, 4);
  RoutingCounts counts;
  LayerRouting routing = {.policy = SmallPolicy(RoutingPolicy::Kind::kTopK), .counts = &counts};
  routing.policy.max_missed = 0.999999f;
  problem.Run({problem.length}, &routing);
  EXPECT_EQ(counts.rows, 900u);
  EXPECT_LT(counts.blocks_read, counts.blocks_visible);
  EXPECT_LT(counts.certain_share, counts.estimated_share);
  EXPECT_GT(counts.certain_share, 0u);
}

TEST(RoutedAttentionTest, EasyTokensReadLess) {
  // Where all attention is at hand, top_p adds nothing; where it is spread, it goes up to max_blocks, unless
  // the two probes say nothing new.
  RoutedProblem near(16, 2, 1, 800, 6), spread(16, 2, 1, 800, 6);
  for (size_t t = 0; t < 800; ++t) {
    for (size_t i = 0; i < near.num_cols(); ++i) {
      near.qkv[t * near.num_cols() + i] = t / kBlockTokens >= 11 ? 3.0f : 0.0f;
      spread.qkv[t * near.num_cols() + i] = 0.1f;
    }
  }
  const auto read = [](const RoutedProblem& problem, uint32_t probes) {
    RoutingTrace trace(1, 1, problem.length);
    LayerRouting routing = {.policy = SmallPolicy(RoutingPolicy::Kind::kTopP), .trace = &trace};
    routing.policy.probe_blocks = probes;
    problem.Run({problem.length}, &routing);
    return trace.NumRead(0, 0, problem.length - 1);
  };
  const auto keys_scored = [](const RoutedProblem& problem, uint32_t probes) {
    RoutingCounts counts;
    LayerRouting routing = {.policy = SmallPolicy(RoutingPolicy::Kind::kTopP), .counts = &counts};
    routing.policy.probe_blocks = probes;
    routing.policy.rerank = 2;
    problem.Run({problem.length}, &routing);
    return counts.keys_scored.load();
  };
  // Nor are keys scored to choose among what is not read.
  for (const uint32_t probes : {0, 2}) EXPECT_LT(keys_scored(near, probes), keys_scored(spread, probes));
  for (const uint32_t probes : {0, 2}) EXPECT_EQ(read(near, probes), 3u);
  EXPECT_EQ(read(spread, 0), 6u);
  EXPECT_EQ(read(spread, 2), 5u);
}

}  // namespace
}  // namespace qwen25

#include "kernels/block_score.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>
#include <vector>

#include "base/dtype.h"
#include "base/rng.h"
#include "kernels/isa_test_util.h"
#include "tensor/aligned_buffer.h"

namespace qwen25 {
namespace {

// Rotary tables as ops/attention/rotary_table.cc lays them out, for up to `max_distance` blocks.
struct Tables {
  size_t head_dim, max_distance;
  std::vector<float> cos, sin;              // [D/2, stride]
  std::vector<float> block_cos, block_sin;  // [max_distance + 1, D/2]

  Tables(size_t head_dim, size_t max_distance) : head_dim(head_dim), max_distance(max_distance) {
    const size_t stride = max_distance + 1 + 128;
    for (size_t i = 0; i < head_dim / 2; ++i) {
      for (size_t j = 0; j < stride; ++j) {
        const double distance = j < 64                  ? double(max_distance)
                                : j > 64 + max_distance ? 0.0
                                                        : double(64 + max_distance - j);
        cos.push_back(static_cast<float>(std::cos(distance * Frequency(i))));
        sin.push_back(static_cast<float>(std::sin(distance * Frequency(i))));
      }
    }
    for (size_t distance = 0; distance <= max_distance; ++distance) {
      for (size_t i = 0; i < head_dim / 2; ++i) {
        block_cos.push_back(static_cast<float>(std::cos(double(distance) * Frequency(i))));
        block_sin.push_back(static_cast<float>(std::sin(double(distance) * Frequency(i))));
      }
    }
  }
  double Frequency(size_t i) const { return 64 * std::pow(1000.0, -2.0 * double(i) / double(head_dim)); }
  RotaryAngles angles() const {
    return {.head_dim = head_dim,
            .offset_cos = nullptr,
            .offset_sin = nullptr,
            .block_cos = block_cos.data(),
            .block_sin = block_sin.data(),
            .descending_cos = cos.data(),
            .descending_sin = sin.data(),
            .descending_stride = max_distance + 129,
            .max_distance = max_distance};
  }
};

// Keys [D, 64] of some blocks, random queries [R, D], and the scores of every key in double.
struct Problem {
  size_t head_dim, num_blocks, num_rows, query_block, first_block;
  Tables tables;
  std::vector<std::vector<float>> keys;
  std::vector<float> queries;

  Problem(size_t head_dim, size_t num_blocks, size_t num_rows, size_t distance, size_t max_distance,
          uint64_t seed, float spread = 1)
      : head_dim(head_dim),
        num_blocks(num_blocks),
        num_rows(num_rows),
        query_block(num_blocks + distance),
        first_block(0),
        tables(head_dim, max_distance) {
    Rng rng(seed);
    for (size_t b = 0; b < num_blocks; ++b) {
      std::vector<float>& block = keys.emplace_back(head_dim * kBlockTokens);
      for (size_t d = 0; d < head_dim; ++d) {
        const double center = rng.Normal();
        for (size_t t = 0; t < kBlockTokens; ++t) {
          block[d * kBlockTokens + t] = static_cast<float>(center + spread * rng.Normal());
        }
      }
    }
    queries.resize(num_rows * head_dim);
    for (float& q : queries) q = static_cast<float>(rng.Normal() / std::sqrt(double(head_dim)));
  }

  std::vector<uint16_t> Panel() const {
    std::vector<uint16_t> panel(NumbersPerPanel(head_dim));
    for (size_t b = 0; b < num_blocks; ++b) {
      const KvBlock block = {const_cast<float*>(keys[b].data()), kBlockTokens, nullptr};
      SummarizeBlock(head_dim, block, b, panel.data());
    }
    return panel;
  }

  // Scores [64] of the keys of a block, in double.
  std::vector<double> Exact(size_t row, size_t b) const {
    const size_t half = head_dim / 2;
    const double distance = double(std::min(query_block - first_block - b, tables.max_distance));
    std::vector<double> scores(kBlockTokens);
    for (size_t i = 0; i < half; ++i) {
      const double angle = distance * tables.Frequency(i), c = std::cos(angle), s = std::sin(angle);
      const double x = queries[row * head_dim + i], y = queries[row * head_dim + half + i];
      for (size_t t = 0; t < kBlockTokens; ++t) {
        scores[t] += (x * c - y * s) * keys[b][i * kBlockTokens + t] +
                     (y * c + x * s) * keys[b][(i + half) * kBlockTokens + t];
      }
    }
    return scores;
  }

  struct Scores {
    std::vector<float> scores, bounds;  // [R, 64]
  };
  Scores Score(BlockScore kind) const {
    std::vector<float> memory(BlockScoreState::NumFloats(head_dim, num_rows));
    const BlockScoreState state(memory.data(), head_dim, num_rows);
    const std::vector<uint16_t> panel = Panel();
    Scores result{std::vector<float>(num_rows * 64), std::vector<float>(num_rows * 64)};
    LoadScoreQueries(head_dim, num_rows, queries.data(), state);
    ScorePanel(tables.angles(), num_rows, query_block,
               {.data = panel.data(), .first_block = first_block, .num_blocks = num_blocks}, kind,
               queries.data(), state, {result.scores.data(), 64}, {result.bounds.data(), 64});
    return result;
  }
};

TEST(BlockSummaryTest, BoundIsAboveEveryScoreAndTheMeanIsTheirMean) {
  EXPECT_TRUE(rc::check([](uint64_t seed) {
    const size_t head_dim = 2 * *rc::gen::inRange<size_t>(1, 40);
    const size_t num_blocks = *rc::gen::inRange<size_t>(1, 65), num_rows = *rc::gen::inRange<size_t>(1, 20);
    const size_t distance = *rc::gen::inRange<size_t>(0, 300);
    const Problem problem(head_dim, num_blocks, num_rows, distance, 200, seed);
    const Problem::Scores mean = problem.Score(BlockScore::kMean), bound = problem.Score(BlockScore::kBound);
    for (size_t row = 0; row < num_rows; ++row) {
      for (size_t b = 0; b < num_blocks; ++b) {
        const std::vector<double> exact = problem.Exact(row, b);
        const double average = std::accumulate(exact.begin(), exact.end(), 0.0) / 64;
        RC_ASSERT(std::abs(mean.scores[row * 64 + b] - average) < 4e-3);  // float16 means
        for (const double score : exact) RC_ASSERT(bound.scores[row * 64 + b] > score - 1e-4);
        RC_ASSERT(bound.scores[row * 64 + b] == mean.bounds[row * 64 + b]);
      }
    }
  }));
}

TEST(BlockSummaryTest, OutlierScoreIsTheLogarithmOfTheMeanExponentialOfNormalKeys) {
  // In 64 dimensions with 64 keys the estimate is not exact, but much nearer than the mean.
  const Problem problem(64, 64, 4, 3, 100, 7, /*spread=*/0.8f);
  const Problem::Scores outlier = problem.Score(BlockScore::kOutlier),
                        mean = problem.Score(BlockScore::kMean);
  double error = 0, mean_error = 0;
  for (size_t row = 0; row < 4; ++row) {
    for (size_t b = 0; b < 64; ++b) {
      double sum = 0;
      for (const double score : problem.Exact(row, b)) sum += std::exp2(score);
      const double exact = std::log2(sum / 64);
      error += std::abs(outlier.scores[row * 64 + b] - exact);
      mean_error += std::abs(mean.scores[row * 64 + b] - exact);
    }
  }
  EXPECT_LT(error, 0.3 * mean_error);
}

// log2 of the mean of 2^score by the formula of BlockScore::kOutlier, in double. More than one where the
// means' rounding decides which key is the farthest.
std::vector<double> OutlierFormula(const Problem& problem, size_t row, size_t b) {
  const size_t head_dim = problem.head_dim, half = head_dim / 2;
  const std::vector<float>& keys = problem.keys[b];
  const auto key = [&](size_t d, size_t t) { return double(keys[d * kBlockTokens + t]); };
  std::vector<double> center(head_dim), distances(kBlockTokens);
  for (size_t d = 0; d < head_dim; ++d) {
    for (size_t t = 0; t < kBlockTokens; ++t) center[d] += key(d, t) / kBlockTokens;
    for (size_t t = 0; t < kBlockTokens; ++t) distances[t] += std::pow(key(d, t) - center[d], 2);
  }
  const std::vector<double> exact = problem.Exact(row, b);
  std::vector<double> scores;
  for (size_t outlier = 0; outlier < kBlockTokens; ++outlier) {
    if (distances[outlier] < 0.99 * std::ranges::max(distances)) continue;
    double others = std::accumulate(exact.begin(), exact.end(), 0.0) / kBlockTokens;
    for (size_t i = 0; i < half; ++i) {
      double variance = 0;
      for (size_t t = 0; t < kBlockTokens; ++t) {
        if (t == outlier) continue;
        for (const size_t d : {i, i + half}) variance += std::pow(key(d, t) - center[d], 2) / (2 * 63);
      }
      const double x = problem.queries[row * head_dim + i], y = problem.queries[row * head_dim + i + half];
      others += std::log(2.0) / 2 * (x * x + y * y) * variance;
    }
    scores.push_back(std::log2(std::exp2(others) + std::exp2(exact[outlier]) / kBlockTokens));
  }
  return scores;
}

TEST(BlockSummaryTest, OutlierScoreIsItsFormula) {
  EXPECT_TRUE(rc::check([](uint64_t seed) {
    const size_t head_dim = 2 * *rc::gen::inRange<size_t>(1, 40);
    const size_t num_blocks = *rc::gen::inRange<size_t>(1, 65), num_rows = *rc::gen::inRange<size_t>(1, 20);
    // Near, beyond the greatest distance, and across it.
    const size_t distance = *rc::gen::inRange<size_t>(0, 300), max_distance = *rc::gen::element(20, 200);
    const Problem problem(head_dim, num_blocks, num_rows, distance, max_distance, seed, /*spread=*/3);
    const Problem::Scores scores = problem.Score(BlockScore::kOutlier);
    for (size_t row = 0; row < num_rows; ++row) {
      for (size_t b = 0; b < num_blocks; ++b) {
        const float score = scores.scores[row * 64 + b];
        const auto is_near = [&](double x) { return std::abs(score - x) < 0.02 + 2e-3 * std::abs(x); };
        RC_ASSERT(std::ranges::any_of(OutlierFormula(problem, row, b), is_near));
      }
    }
  }));
}

// A key that stands alone and answers the query, in one block of 64.
void AddLoneKey(Problem& problem, size_t row, size_t lone_block, float score) {
  std::vector<float>& keys = problem.keys[lone_block];
  const size_t half = problem.head_dim / 2;
  double square = 0;
  const float* q = problem.queries.data() + row * problem.head_dim;
  for (size_t d = 0; d < problem.head_dim; ++d) square += double(q[d]) * q[d];
  const double factor = score / square;
  for (size_t i = 0; i < half; ++i) {
    const double angle = double(problem.tables.max_distance) * problem.tables.Frequency(i);
    const double c = std::cos(angle), s = std::sin(angle);
    keys[i * kBlockTokens + 17] = static_cast<float>(factor * (q[i] * c - q[i + half] * s));
    keys[(i + half) * kBlockTokens + 17] = static_cast<float>(factor * (q[i + half] * c + q[i] * s));
  }
}

Problem WithLoneKey(size_t row, size_t lone_block, float score) {
  Problem problem(64, 64, 4, 150, 100, 21, /*spread=*/0.3f);  // all blocks at the greatest distance
  AddLoneKey(problem, row, lone_block, score);
  return problem;
}

TEST(BlockSummaryTest, ALoneKeyThatAnswersIsSeenExactly) {
  constexpr size_t kRow = 2, kBlock = 40;
  constexpr float kScore = 20;  // in units of log2, far above the others
  const Problem problem = WithLoneKey(kRow, kBlock, kScore);
  const Problem::Scores scores = problem.Score(BlockScore::kOutlier);
  EXPECT_NEAR(scores.scores[kRow * 64 + kBlock], kScore - 6, 0.05);  // one of 64 keys
  for (size_t b = 0; b < 64; ++b) {
    if (b != kBlock) {
      EXPECT_LT(scores.scores[kRow * 64 + b], kScore - 8);
    }
  }
  // Other queries do not take it for their own.
  for (size_t row = 0; row < 4; ++row) {
    if (row != kRow) {
      EXPECT_LT(scores.scores[row * 64 + kBlock], kScore - 8);
    }
  }
}

TEST(BlockSummaryTest, ASuperPanelSeesALoneKeyOfEachGroupOfBlocks) {
  constexpr float kScore = 24;
  const std::pair<size_t, size_t> lone[] = {{1, 3}, {2, 40}};  // rows that look for keys, and their blocks
  Problem problem = WithLoneKey(lone[0].first, lone[0].second, kScore);
  AddLoneKey(problem, lone[1].first, lone[1].second, kScore);
  std::vector<uint16_t> supers(NumbersPerPanel(64));
  for (size_t part = 0; part < kPanelParts; ++part) {
    SummarizePart(64, problem.Panel().data(), part * kPartBlocks, part, supers.data());
  }
  std::vector<float> memory(BlockScoreState::NumFloats(64, 4)), scores(4 * 64);
  const BlockScoreState state(memory.data(), 64, 4);
  LoadScoreQueries(64, 4, problem.queries.data(), state);
  ScorePanel(
      problem.tables.angles(), 4, 1000,
      {.data = supers.data(), .first_block = 0, .num_blocks = kPanelParts, .blocks_per_column = kPartBlocks},
      BlockScore::kOutlier, problem.queries.data(), state, {scores.data(), 64}, {nullptr, 0});
  const float alone = kScore - std::log2(static_cast<float>(kPartBlocks * kBlockTokens));  // one of so many
  for (const auto& [row, block] : lone) {
    for (size_t part = 0; part < kPanelParts; ++part) {
      const float score = scores[row * 64 + part];
      if (part == block / kPartBlocks) {
        EXPECT_NEAR(score, alone, 0.2) << row;
      } else {
        EXPECT_LT(score, alone - 4) << row << " " << part;
      }
    }
  }
}

TEST(BlockSummaryTest, HalfBlocksGiveTheSummariesOfTheirNumbers) {
  const size_t head_dim = 32;
  Problem problem(head_dim, 1, 1, 0, 10, 3);
  std::vector<uint16_t> half(head_dim * kBlockTokens);
  for (size_t i = 0; i < half.size(); ++i) {
    half[i] = FloatToFloat16(problem.keys[0][i]);
    problem.keys[0][i] = Float16ToFloat(half[i]);
  }
  std::vector<uint16_t> panel(NumbersPerPanel(head_dim));
  SummarizeBlock(head_dim, HalfKvBlock{half.data(), nullptr}, 0, panel.data());
  EXPECT_EQ(panel, problem.Panel());
}

TEST(BlockSummaryTest, Int8BlocksGiveTheSummariesOfTheirNumbers) {
  const size_t head_dim = 48;
  Problem problem(head_dim, 1, 1, 0, 10, 3);
  AlignedBuffer<std::byte> memory(Int8KvBlock::NumBytes(head_dim));
  const Int8KvBlock block = Int8KvBlock::At(memory.data(), head_dim);
  std::vector<float> values(head_dim * kBlockTokens);
  NarrowSlots(head_dim, 0, kBlockTokens, {problem.keys[0].data(), kBlockTokens, values.data()}, block);
  for (size_t i = 0; i < values.size(); ++i) {
    const uint16_t scale = block.key_scales[i / kBlockTokens / 32 * kBlockTokens + i % kBlockTokens];
    problem.keys[0][i] = Float16ToFloat(scale) * static_cast<float>(block.keys[i]);
  }
  std::vector<uint16_t> panel(NumbersPerPanel(head_dim));
  SummarizeBlock(head_dim, block, 0, panel.data());
  EXPECT_EQ(panel, problem.Panel());
}

TEST(BlockSummaryTest, EveryInstructionSetScoresAlike) {
  const Problem problem(48, 37, 9, 5, 20, 11);
  std::vector<float> first;
  for (const std::string& isa : IsaNames()) {
    SCOPED_TRACE(isa);
    ASSERT_TRUE(ForceIsa(isa).ok());
    const std::vector<float> scores = problem.Score(BlockScore::kOutlier).scores;
    if (first.empty()) first = scores;
    for (size_t row = 0; row < 9; ++row) {
      for (size_t b = 0; b < 37; ++b) EXPECT_NEAR(scores[row * 64 + b], first[row * 64 + b], 2e-3);
    }
  }
  ASSERT_TRUE(ForceIsa(IsaNames().front()).ok());
}

TEST(BlockSummaryTest, WhatIsNotANumberScoresHighest) {
  Problem problem(16, 5, 2, 1, 10, 5);
  problem.keys[3][20] = std::numeric_limits<float>::quiet_NaN();
  problem.keys[1][7] = std::numeric_limits<float>::infinity();
  const Problem::Scores scores = problem.Score(BlockScore::kOutlier);
  EXPECT_EQ(scores.scores[3], 30000);
  EXPECT_EQ(scores.scores[1], 30000);
  EXPECT_LT(scores.scores[2], 100);
  EXPECT_EQ(scores.bounds[64 + 3], 30000);
}

TEST(BlockSharesTest, AreThoseOfASoftmaxOverBlocks) {
  EXPECT_TRUE(rc::check([](uint64_t seed) {
    const size_t heads = *rc::gen::inRange<size_t>(1, 9), blocks = *rc::gen::inRange<size_t>(1, 150);
    const size_t stride = 192;
    Rng rng(seed);
    std::vector<float> scores(heads * stride), logs(heads), shares(stride);
    for (float& s : scores) s = static_cast<float>(6 * rng.Normal());
    for (float& s : logs) s = static_cast<float>(6 + 6 * rng.Normal());
    std::vector<double> expected(blocks);
    double read = 0;
    for (size_t g = 0; g < heads; ++g) {
      double z = std::exp2(logs[g]);
      for (size_t b = 0; b < blocks; ++b) z += 64 * std::exp2(scores[g * stride + b]);
      read += std::exp2(logs[g]) / z / double(heads);
      for (size_t b = 0; b < blocks; ++b) {
        expected[b] += 64 * std::exp2(scores[g * stride + b]) / z / double(heads);
      }
    }
    const float share = BlockShares(heads, blocks, {scores.data(), stride}, logs.data(), shares.data());
    RC_ASSERT(std::abs(share - read) < 1e-5);
    for (size_t b = 0; b < blocks; ++b) RC_ASSERT(std::abs(shares[b] - expected[b]) < 1e-5);
  }));
}

}  // namespace
}  // namespace qwen25

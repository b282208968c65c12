#include "ops/attention/self_attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "ops/attention/attention_test_util.h"

namespace qwen25 {
namespace {

// The textbook, in double: rotation by the absolute position, softmax over all visible keys at once.
struct Oracle {
  const Problem& problem;
  std::vector<double> out, dqkv;  // dqkv where `dout` is given

  explicit Oracle(const Problem& problem, const std::vector<float>* dout = nullptr)
      : problem(problem),
        out(problem.num_rows() * problem.out_cols()),
        dqkv(problem.num_rows() * problem.num_cols()) {
    for (size_t s = 0; s < problem.lengths.size(); ++s) {
      for (size_t h = 0; h < problem.shape.num_heads; ++h) Head(s, h, dout);
    }
  }

  std::vector<double> Rotated(const double* x, double position, double sign) const {
    const size_t dim = problem.shape.head_dim, half = dim / 2;
    const std::vector<double> frequencies = InverseFrequencies(dim, problem.base);
    std::vector<double> y(dim);
    for (size_t i = 0; i < half; ++i) {
      const double c = std::cos(position * frequencies[i]), s = sign * std::sin(position * frequencies[i]);
      y[i] = x[i] * c - x[i + half] * s;
      y[i + half] = x[i + half] * c + x[i] * s;
    }
    return y;
  }

  void Head(size_t sequence, size_t head, const std::vector<float>* dout) {
    const AttentionShape& shape = problem.shape;
    const size_t dim = shape.head_dim, length = static_cast<size_t>(problem.lengths[sequence]);
    const size_t start = static_cast<size_t>(problem.starts[sequence]),
                 kv_head = head / shape.HeadsPerGroup();
    const auto at = [&](size_t token, size_t column) {
      return (start + token) * problem.num_cols() + column;
    };
    std::vector<std::vector<double>> keys, dkeys(length, std::vector<double>(dim));
    for (size_t j = 0; j < length; ++j) {
      const std::vector<double> key(problem.qkv.begin() + at(j, shape.KeyColumn(kv_head)),
                                    problem.qkv.begin() + at(j, shape.KeyColumn(kv_head)) + dim);
      keys.push_back(Rotated(key.data(), double(j), 1));
    }
    for (size_t i = 0; i < length; ++i) {
      const size_t q_at = at(i, head * dim), o_at = (start + i) * problem.out_cols() + head * dim;
      std::vector<size_t> seen;
      for (size_t j = 0; j < length; ++j) {
        if (problem.Sees(sequence, i, j)) seen.push_back(j);
      }
      const std::vector<double> raw(problem.qkv.begin() + q_at, problem.qkv.begin() + q_at + dim);
      const std::vector<double> query = Rotated(raw.data(), double(i), 1);
      std::vector<double> p(length);
      double greatest = -std::numeric_limits<double>::infinity(), sum = 0;
      for (const size_t j : seen) {
        for (size_t d = 0; d < dim; ++d) p[j] += shape.scale * query[d] * keys[j][d];
        greatest = std::max(greatest, p[j]);
      }
      for (const size_t j : seen) sum += (p[j] = std::exp(p[j] - greatest));
      for (const size_t j : seen) {
        p[j] /= sum;
        for (size_t d = 0; d < dim; ++d) {
          out[o_at + d] += p[j] * problem.qkv[at(j, shape.ValueColumn(kv_head) + d)];
        }
      }
      if (dout == nullptr) continue;
      double delta = 0;
      for (size_t d = 0; d < dim; ++d) delta += out[o_at + d] * (*dout)[o_at + d];
      std::vector<double> dquery(dim);
      for (const size_t j : seen) {
        double dp = 0;
        for (size_t d = 0; d < dim; ++d) {
          const size_t v_at = at(j, shape.ValueColumn(kv_head) + d);
          dp += (*dout)[o_at + d] * problem.qkv[v_at];
          dqkv[v_at] += p[j] * (*dout)[o_at + d];
        }
        const double ds = shape.scale * p[j] * (dp - delta);
        for (size_t d = 0; d < dim; ++d) {
          dquery[d] += ds * keys[j][d];
          dkeys[j][d] += ds * query[d];
        }
      }
      dquery = Rotated(dquery.data(), double(i), -1);
      std::copy(dquery.begin(), dquery.end(), dqkv.begin() + q_at);
    }
    for (size_t j = 0; j < length; ++j) {
      const std::vector<double> dkey = Rotated(dkeys[j].data(), double(j), -1);
      for (size_t d = 0; d < dim; ++d) dqkv[at(j, shape.KeyColumn(kv_head) + d)] += dkey[d];
    }
  }
};

// The largest difference, as a share of the largest magnitude that was expected.
double RelativeError(const std::vector<float>& actual, const std::vector<double>& expected) {
  double greatest = 1e-30, error = 0;
  for (size_t i = 0; i < actual.size(); ++i) {
    greatest = std::max(greatest, std::abs(expected[i]));
    const double difference = std::abs(actual[i] - expected[i]);
    error = difference <= error ? error : difference;  // NaN is an error too
  }
  return error / greatest;
}

// Forward and backward against the oracle.
void CheckProblem(Machine& machine, const Problem& problem) {
  SCOPED_TRACE(testing::Message() << "D " << problem.shape.head_dim << ", H " << problem.shape.num_heads
                                  << ", K " << problem.shape.num_kv_heads << ", mask "
                                  << static_cast<int>(problem.mask) << ", window " << problem.shape.window
                                  << ", first length " << problem.lengths[0]);
  const std::vector<float> dout = RandomVector(problem.num_rows() * problem.out_cols(), 17);
  const Results results = RunSelfAttention(machine, problem, &dout);
  const Oracle oracle(problem, &dout);
  EXPECT_LT(RelativeError(results.out, oracle.out), 3e-6);
  EXPECT_LT(RelativeError(results.dqkv, oracle.dqkv), 5e-6);
}

TEST(SelfAttentionTest, MatchesTheOracleForEveryHeadDimAndGroup) {
  Machine machine(2);
  for (const size_t head_dim : {2, 6, 8, 10, 16, 32, 64, 80, 96, 128}) {
    for (const size_t group : {1, 2, 3, 7, 16, 70}) {
      const size_t kv_heads = group == 1 ? 3 : group < 7 ? 2 : 1;
      if (group == 70 && head_dim > 32) continue;
      for (const AttentionMask mask : kMasks) {
        CheckProblem(machine, Problem(head_dim, group * kv_heads, kv_heads, {70, 1}, mask));
      }
    }
  }
}

TEST(SelfAttentionTest, MatchesTheOracleForEveryLength) {
  Machine machine(2);
  for (const AttentionMask mask : kMasks) {
    for (const int32_t length : {1, 2, 15, 16, 17, 63, 64, 65, 127, 128, 129, 150, 200, 321}) {
      CheckProblem(machine, Problem(16, 4, 2, {length}, mask));
    }
    CheckProblem(machine, Problem(32, 4, 2, {1, 200, 2, 63, 64, 65, 5, 128, 129, 1, 1, 33}, mask));
    CheckProblem(machine, Problem(8, 3, 1, std::vector<int32_t>(70, 3), mask));
  }
}

TEST(SelfAttentionTest, MatchesTheOracleForEveryWindow) {
  Machine machine(2);
  for (const AttentionMask mask : kMasks) {
    for (const size_t window : kWindows) {
      CheckProblem(machine, Problem(16, 6, 2, {210, 1, 64}, mask).WithWindow(window));
      CheckProblem(machine, Problem(8, 7, 1, {330}, mask).WithWindow(window));  // two passes backward
    }
  }
  ForEachTarget([&] {
    for (const size_t window : {1, 30, 64, 100}) {
      CheckProblem(machine, Problem(10, 16, 1, {150, 70}).WithWindow(window));
    }
  });
}

// What is as long as the sequences hides nothing, to the bit.
TEST(SelfAttentionTest, AWindowThatHidesNothingChangesNothing) {
  Machine machine(2);
  const Problem problem(16, 6, 2, {210, 100});
  const std::vector<float> dout = RandomVector(problem.num_rows() * problem.out_cols(), 3);
  const Results plain = RunSelfAttention(machine, problem, &dout);
  const Results windowed = RunSelfAttention(machine, problem.WithWindow(210), &dout);
  EXPECT_EQ(plain.out, windowed.out);
  EXPECT_EQ(plain.dqkv, windowed.dqkv);
  EXPECT_NE(plain.out, RunSelfAttention(machine, problem.WithWindow(209)).out);
}

TEST(SelfAttentionTest, MatchesTheOracleOnEveryInstructionSet) {
  Machine machine(2);
  ForEachTarget([&] {
    for (const AttentionMask mask : kMasks) {
      for (const size_t head_dim : {2, 6, 8, 10, 32, 80}) {
        CheckProblem(machine, Problem(head_dim, 6, 2, {65, 3, 140}, mask));
      }
      CheckProblem(machine, Problem(64, 7, 1, {130}, mask));
    }
  });
}

TEST(SelfAttentionTest, GradientsMatchFiniteDifferences) {
  Machine machine(2);
  for (const AttentionMask mask : kMasks) {
    Problem problem(8, 4, 2, {3, 67}, mask, 5);
    const std::vector<float> dout = RandomVector(problem.num_rows() * problem.out_cols(), 3);
    const Results results = RunSelfAttention(machine, problem, &dout);
    const auto loss = [&] {
      const Results again = RunSelfAttention(machine, problem);
      double sum = 0;
      for (size_t i = 0; i < dout.size(); ++i) sum += double{dout[i]} * again.out[i];
      return sum;
    };
    for (size_t i = 0; i < problem.qkv.size(); i += 7) {  // 7 and the row width share no factor
      constexpr float kStep = 1e-2f;
      const float kept = problem.qkv[i];
      problem.qkv[i] = kept + kStep;
      const double up = loss();
      problem.qkv[i] = kept - kStep;
      const double down = loss();
      problem.qkv[i] = kept;
      ASSERT_NEAR(results.dqkv[i], (up - down) / (2 * kStep), 2e-3) << "qkv[" << i << "]";
    }
  }
}

TEST(SelfAttentionTest, BackwardAddsToAGradientThatIsThere) {
  Machine machine(2);
  const Problem problem(16, 4, 2, {70, 9});
  const std::vector<float> dout = RandomVector(problem.num_rows() * problem.out_cols(), 3);
  const std::vector<float> earlier = RandomVector(problem.qkv.size(), 4);
  const Results alone = RunSelfAttention(machine, problem, &dout);
  const Results added = RunSelfAttention(machine, problem, &dout, &earlier);
  for (size_t i = 0; i < earlier.size(); ++i) ASSERT_EQ(added.dqkv[i], earlier[i] + alone.dqkv[i]);
}

TEST(SelfAttentionTest, ASecondStepTakesNoMemoryFromTheSystem) {
  Machine machine(2);
  const Problem problem(16, 4, 2, {70, 9, 200});
  const std::vector<float> dout = RandomVector(problem.num_rows() * problem.out_cols(), 3);
  const Results first = RunSelfAttention(machine, problem, &dout);
  const size_t reserved = machine.tensors.reserved_bytes();
  const float* scratch = machine.scratch.PerThread(0);
  const Results second = RunSelfAttention(machine, problem, &dout);
  EXPECT_EQ(machine.tensors.reserved_bytes(), reserved);
  EXPECT_EQ(machine.scratch.PerThread(0), scratch);
  EXPECT_EQ(first.dqkv, second.dqkv);
}

TEST(SelfAttentionTest, AnyNumberOfThreadsGivesTheSameBits) {
  for (const AttentionMask mask : kMasks) {
    // One sequence makes two or more threads take two passes, several make them take one.
    for (const std::vector<int32_t>& lengths :
         {std::vector<int32_t>{330}, {200}, {1, 5, 64, 100, 65, 200, 3}, {150, 150, 150, 150}}) {
      const Problem problem = Problem(32, 6, lengths[0] == 200 ? 1 : 2, lengths, mask)
                                  .WithWindow(lengths.size() % 2 == 0 ? 70 : kNoWindow);
      const std::vector<float> dout = RandomVector(problem.num_rows() * problem.out_cols(), 3);
      Machine one(1);
      const Results expected = RunSelfAttention(one, problem, &dout);
      for (const size_t num_threads : {2, 3, 5}) {
        Machine machine(num_threads);
        const Results results = RunSelfAttention(machine, problem, &dout);
        EXPECT_EQ(results.out, expected.out);
        EXPECT_EQ(results.dqkv, expected.dqkv);
      }
    }
  }
}

TEST(SelfAttentionTest, GradientsOfASequenceDoNotDependOnItsCompany) {
  Machine machine(2);
  const Problem together(16, 4, 2, {70, 130, 5});
  const std::vector<float> dout = RandomVector(together.num_rows() * together.out_cols(), 3);
  const Results all = RunSelfAttention(machine, together, &dout);
  for (size_t s = 0; s < together.lengths.size(); ++s) {
    Problem alone(16, 4, 2, {together.lengths[s]});
    const size_t begin = static_cast<size_t>(together.starts[s]);
    const auto part = [&](const std::vector<float>& values, size_t cols) {
      return std::vector<float>(values.begin() + begin * cols,
                                values.begin() + (begin + alone.num_rows()) * cols);
    };
    alone.qkv = part(together.qkv, together.num_cols());
    const std::vector<float> alone_dout = part(dout, together.out_cols());
    const Results results = RunSelfAttention(machine, alone, &alone_dout);
    EXPECT_EQ(results.out, part(all.out, together.out_cols()));
    EXPECT_EQ(results.dqkv, part(all.dqkv, together.num_cols()));
  }
}

// A row must not read what it does not see, and 0 * NaN is NaN: keys and values of later tokens that are not
// finite leave the rows before them as they are, to the bit.
TEST(SelfAttentionTest, WhatIsNotFiniteDoesNotReachEarlierTokens) {
  ForEachTarget([&] {
    Machine machine(2);
    for (const size_t group : {1, 3, 16}) {
      const Problem problem(32, group * 2, 2, {150, 70});
      const Results expected = RunSelfAttention(machine, problem);
      for (const float bad :
           {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
        for (const size_t token : {5, 63, 64, 100, 149}) {
          Problem damaged = problem;
          float* row = damaged.qkv.data() + token * problem.num_cols();
          std::fill(row, row + problem.num_cols(), bad);
          const std::vector<float> out = RunSelfAttention(machine, damaged).out;
          const size_t begin = token * problem.out_cols(), end = 150 * problem.out_cols();
          ASSERT_TRUE(std::equal(out.begin(), out.begin() + begin, expected.out.begin()))
              << group << " " << token;
          ASSERT_TRUE(std::equal(out.begin() + end, out.end(), expected.out.begin() + end))
              << "other sequence";
          ASSERT_TRUE(std::isnan(out[begin])) << "the token itself shows it";
        }
      }
    }
  });
}

// Nor do those of tokens that a window hides reach the rows behind it.
TEST(SelfAttentionTest, WhatIsNotFiniteDoesNotReachTokensBehindTheWindow) {
  ForEachTarget([&] {
    Machine machine(2);
    for (const size_t group : {1, 3, 16}) {
      for (const size_t window : {1, 20, 64, 70}) {
        const Problem problem = Problem(32, group * 2, 2, {200}).WithWindow(window);
        const std::vector<float> expected = RunSelfAttention(machine, problem).out;
        for (const size_t token : {5, 63, 64, 100}) {
          Problem damaged = problem;
          float* row = damaged.qkv.data() + token * problem.num_cols();
          std::fill(row, row + problem.num_cols(), std::numeric_limits<float>::quiet_NaN());
          const std::vector<float> out = RunSelfAttention(machine, damaged).out;
          const size_t cols = problem.out_cols(), behind = (token + window) * cols;
          ASSERT_TRUE(std::equal(out.begin() + behind, out.end(), expected.begin() + behind))
              << group << " " << window << " " << token;
          ASSERT_TRUE(std::isnan(out[behind - 1]));
          ASSERT_TRUE(std::equal(out.begin(), out.begin() + token * cols, expected.begin()));
        }
      }
    }
  });
}

}  // namespace
}  // namespace qwen25

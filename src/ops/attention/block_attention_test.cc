#include "ops/attention/block_attention.h"

#include <gtest/gtest.h>
#include <hwy/targets.h>
#include <rapidcheck.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <deque>
#include <limits>
#include <vector>

#include "base/rng.h"

namespace qwen25 {
namespace {

// What attention runs on.
struct Machine {
  explicit Machine(size_t num_threads) : threads(num_threads), scratch(num_threads) {}
  ThreadPool threads;
  TensorPool tensors;
  Scratch scratch;
  Tape tape;
  Execution execution{threads, tensors, scratch, nullptr};
};

// Whole sequences of the given lengths with random queries, keys and values.
struct Problem {
  AttentionShape shape;
  AttentionMask mask = AttentionMask::kCausal;
  std::vector<int32_t> lengths, prefix_lengths;
  std::vector<int32_t> tokens, positions, starts{0};
  std::vector<float> qkv;
  double base = 10000;

  Problem(size_t head_dim, size_t num_heads, size_t num_kv_heads, std::vector<int32_t> sequence_lengths,
          AttentionMask mask = AttentionMask::kCausal, uint64_t seed = 1)
      : shape{num_heads, num_kv_heads, head_dim, 1 / std::sqrt(static_cast<float>(head_dim))},
        mask(mask),
        lengths(std::move(sequence_lengths)) {
    for (const int32_t length : lengths) {
      starts.push_back(starts.back() + length);
      for (int32_t i = 0; i < length; ++i) positions.push_back(i);
      if (mask == AttentionMask::kPrefix) prefix_lengths.push_back(length * 2 / 3);
    }
    tokens.resize(positions.size());
    qkv.resize(num_rows() * num_cols());
    Rng rng(seed);
    for (float& x : qkv) x = static_cast<float>(rng.Normal());
  }

  size_t num_rows() const { return positions.size(); }
  size_t num_cols() const { return (shape.num_heads + 2 * shape.num_kv_heads) * shape.head_dim; }
  size_t out_cols() const { return shape.num_heads * shape.head_dim; }
  TokenBatch batch() const { return {tokens, positions, starts}; }
  size_t longest() const { return static_cast<size_t>(*std::max_element(lengths.begin(), lengths.end())); }
  RotaryTable Rotary() const { return RotaryTable(InverseFrequencies(shape.head_dim, base), longest()); }
  // Keys of its sequence that a row sees.
  size_t Visible(size_t sequence, size_t position) const {
    const size_t length = static_cast<size_t>(lengths[sequence]);
    if (mask == AttentionMask::kBidirectional) return length;
    if (mask == AttentionMask::kCausal) return position + 1;
    return std::max(position + 1, static_cast<size_t>(prefix_lengths[sequence]));
  }
};

Tensor ToTensor(TensorPool& tensors, size_t rows, size_t cols, const std::vector<float>& values) {
  Tensor tensor = tensors.New(rows, cols);
  std::copy(values.begin(), values.end(), tensor.data());
  return tensor;
}

std::vector<float> ToVector(const float* data, size_t count) {
  return std::vector<float>(data, data + count);
}

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
      const size_t visible = problem.Visible(sequence, i);
      const std::vector<double> raw(problem.qkv.begin() + q_at, problem.qkv.begin() + q_at + dim);
      const std::vector<double> query = Rotated(raw.data(), double(i), 1);
      std::vector<double> p(visible);
      double greatest = -std::numeric_limits<double>::infinity(), sum = 0;
      for (size_t j = 0; j < visible; ++j) {
        for (size_t d = 0; d < dim; ++d) p[j] += shape.scale * query[d] * keys[j][d];
        greatest = std::max(greatest, p[j]);
      }
      for (double& x : p) sum += (x = std::exp(x - greatest));
      for (size_t j = 0; j < visible; ++j) {
        p[j] /= sum;
        for (size_t d = 0; d < dim; ++d) {
          out[o_at + d] += p[j] * problem.qkv[at(j, shape.ValueColumn(kv_head) + d)];
        }
      }
      if (dout == nullptr) continue;
      double delta = 0;
      for (size_t d = 0; d < dim; ++d) delta += out[o_at + d] * (*dout)[o_at + d];
      std::vector<double> dquery(dim);
      for (size_t j = 0; j < visible; ++j) {
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

struct Results {
  std::vector<float> out, dqkv;
};
Results RunSelfAttention(Machine& machine, const Problem& problem, const std::vector<float>* dout = nullptr,
                         const std::vector<float>* earlier_dqkv = nullptr) {
  const Tensor qkv = ToTensor(machine.tensors, problem.num_rows(), problem.num_cols(), problem.qkv);
  const RotaryTable rotary = problem.Rotary();
  const TokenBatch batch = problem.batch();
  machine.execution.tape = dout == nullptr ? nullptr : &machine.tape;
  Results results;
  {
    const Tensor out = SelfAttention(machine.execution, {.shape = problem.shape,
                                                         .rotary = rotary,
                                                         .qkv = qkv,
                                                         .batch = batch,
                                                         .mask = problem.mask,
                                                         .prefix_lengths = problem.prefix_lengths});
    results.out = ToVector(out.data(), problem.num_rows() * problem.out_cols());
    if (dout == nullptr) return results;
    EXPECT_TRUE(out.MakeGrad());
    std::copy(dout->begin(), dout->end(), out.grad());
    if (earlier_dqkv != nullptr) {
      EXPECT_TRUE(qkv.MakeGrad());
      std::copy(earlier_dqkv->begin(), earlier_dqkv->end(), qkv.grad());
    }
    machine.tape.BackwardTo(0, machine.execution);
    EXPECT_EQ(out.grad(), nullptr) << "the output's gradient is given back";
  }
  machine.execution.tape = nullptr;
  results.dqkv = ToVector(qkv.grad(), problem.num_rows() * problem.num_cols());
  return results;
}

std::vector<float> RandomVector(size_t count, uint64_t seed) {
  Rng rng(seed);
  std::vector<float> values(count);
  for (float& x : values) x = static_cast<float>(rng.Normal());
  return values;
}

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
                                  << static_cast<int>(problem.mask) << ", first length "
                                  << problem.lengths[0]);
  const std::vector<float> dout = RandomVector(problem.num_rows() * problem.out_cols(), 17);
  const Results results = RunSelfAttention(machine, problem, &dout);
  const Oracle oracle(problem, &dout);
  EXPECT_LT(RelativeError(results.out, oracle.out), 3e-6);
  EXPECT_LT(RelativeError(results.dqkv, oracle.dqkv), 5e-6);
}

constexpr AttentionMask kMasks[] = {AttentionMask::kCausal, AttentionMask::kBidirectional,
                                    AttentionMask::kPrefix};

// Runs body() once for each instruction set that this machine and this build have.
template <class Body>
void ForEachTarget(const Body& body) {
  for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
    SCOPED_TRACE(hwy::TargetName(target));
    hwy::SetSupportedTargetsForTest(target);
    body();
  }
  hwy::SetSupportedTargetsForTest(0);
}

TEST(BlockAttentionTest, MatchesTheOracleForEveryHeadDimAndGroup) {
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

TEST(BlockAttentionTest, MatchesTheOracleForEveryLength) {
  Machine machine(2);
  for (const AttentionMask mask : kMasks) {
    for (const int32_t length : {1, 2, 15, 16, 17, 63, 64, 65, 127, 128, 129, 150, 200, 321}) {
      CheckProblem(machine, Problem(16, 4, 2, {length}, mask));
    }
    CheckProblem(machine, Problem(32, 4, 2, {1, 200, 2, 63, 64, 65, 5, 128, 129, 1, 1, 33}, mask));
    CheckProblem(machine, Problem(8, 3, 1, std::vector<int32_t>(70, 3), mask));
  }
}

TEST(BlockAttentionTest, MatchesTheOracleOnEveryInstructionSet) {
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

TEST(BlockAttentionTest, GradientsMatchFiniteDifferences) {
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

TEST(BlockAttentionTest, BackwardAddsToAGradientThatIsThere) {
  Machine machine(2);
  const Problem problem(16, 4, 2, {70, 9});
  const std::vector<float> dout = RandomVector(problem.num_rows() * problem.out_cols(), 3);
  const std::vector<float> earlier = RandomVector(problem.qkv.size(), 4);
  const Results alone = RunSelfAttention(machine, problem, &dout);
  const Results added = RunSelfAttention(machine, problem, &dout, &earlier);
  for (size_t i = 0; i < earlier.size(); ++i) ASSERT_EQ(added.dqkv[i], earlier[i] + alone.dqkv[i]);
}

TEST(BlockAttentionTest, ASecondStepTakesNoMemoryFromTheSystem) {
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

TEST(BlockAttentionTest, AnyNumberOfThreadsGivesTheSameBits) {
  for (const AttentionMask mask : kMasks) {
    // One sequence makes two or more threads take two passes, several make them take one.
    for (const std::vector<int32_t>& lengths :
         {std::vector<int32_t>{330}, {200}, {1, 5, 64, 100, 65, 200, 3}, {150, 150, 150, 150}}) {
      const Problem problem(32, 6, lengths[0] == 200 ? 1 : 2, lengths, mask);
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

TEST(BlockAttentionTest, GradientsOfASequenceDoNotDependOnItsCompany) {
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

// KV blocks of several sequences, filled with bits that are NaN in float32 and float16: whatever reads behind
// the last token shows.
struct Cache {
  std::deque<std::vector<float>> memory;
  std::vector<std::vector<std::byte*>> blocks;
  std::vector<SequenceKv> kv;

  explicit Cache(const Problem& problem) : blocks(problem.lengths.size()), kv(problem.lengths.size()) {
    for (size_t s = 0; s < blocks.size(); ++s) {
      for (int32_t t = 0; t < problem.lengths[s]; t += kBlockTokens) {
        blocks[s].push_back(reinterpret_cast<std::byte*>(
            memory.emplace_back(problem.shape.BytesPerBlock() / sizeof(float), std::bit_cast<float>(~0u))
                .data()));
      }
      kv[s].blocks = blocks[s];
      if (!problem.prefix_lengths.empty()) kv[s].prefix_length = size_t(problem.prefix_lengths[s]);
    }
  }
};

// Feeds rows of the problem's sequences to the cache: chunk[s] tokens of sequence s, from done[s] on. Adds
// their outputs to `out`.
void Feed(Machine& machine, const Problem& problem, const RotaryTable& rotary, Cache& cache,
          std::vector<size_t>& done, const std::vector<size_t>& chunk, std::vector<float>& out) {
  std::vector<int32_t> positions, starts = {0};
  std::vector<float> qkv_rows;
  std::vector<SequenceKv> kv;
  std::vector<size_t> rows;
  for (size_t s = 0; s < chunk.size(); ++s) {
    if (chunk[s] == 0) continue;
    for (size_t i = done[s]; i < done[s] + chunk[s]; ++i) {
      const size_t row = static_cast<size_t>(problem.starts[s]) + i;
      positions.push_back(static_cast<int32_t>(i));
      rows.push_back(row);
      const float* from = problem.qkv.data() + row * problem.num_cols();
      qkv_rows.insert(qkv_rows.end(), from, from + problem.num_cols());
    }
    done[s] += chunk[s];
    starts.push_back(static_cast<int32_t>(positions.size()));
    cache.kv[s].num_tokens = done[s];
    kv.push_back(cache.kv[s]);
  }
  const std::vector<int32_t> tokens(positions.size());
  const TokenBatch batch = {tokens, positions, starts};
  const Tensor qkv = ToTensor(machine.tensors, positions.size(), problem.num_cols(), qkv_rows);
  const BlockAttentionCall call = {
      .shape = problem.shape, .rotary = rotary, .qkv = qkv, .batch = batch, .kv = kv, .mask = problem.mask};
  AppendKv(machine.execution, call);
  const Tensor result = AttendBlocks(machine.execution, call);
  for (size_t i = 0; i < rows.size(); ++i) {
    std::copy_n(result.view().Row(i), problem.out_cols(), out.begin() + rows[i] * problem.out_cols());
  }
}

TEST(BlockAttentionTest, ChunkedPrefillAndDecodeGiveTheBitsOfSelfAttention) {
  ForEachTarget([&] {
    Machine machine(2);
    for (const size_t head_dim : {8, 32, 80}) {
      for (const size_t group : {1, 3, 16}) {
        const Problem problem(head_dim, group * 2, 2, {150, 1, 64, 70});
        const RotaryTable rotary = problem.Rotary();
        const Results expected = RunSelfAttention(machine, problem);
        // The chunks of each step; after them every sequence decodes token by token until it is complete.
        for (const std::vector<size_t>& step :
             {std::vector<size_t>{0, 0, 0, 0}, {64, 1, 64, 64}, {37, 1, 5, 66}}) {
          Cache cache(problem);
          std::vector<size_t> done(problem.lengths.size());
          std::vector<float> out(expected.out.size());
          if (step[0] != 0) Feed(machine, problem, rotary, cache, done, step, out);
          if (step[0] == 37) Feed(machine, problem, rotary, cache, done, {60, 0, 0, 0}, out);
          for (;;) {
            std::vector<size_t> chunk(done.size());
            for (size_t s = 0; s < done.size(); ++s) chunk[s] = done[s] < size_t(problem.lengths[s]);
            if (std::count(chunk.begin(), chunk.end(), 1) == 0) break;
            Feed(machine, problem, rotary, cache, done, chunk, out);
          }
          ASSERT_EQ(out, expected.out);
        }
      }
    }
  });
}

// Blocks in narrower formats: the same bits for any chunking, and close to float32.
class NarrowBlocksTest : public testing::TestWithParam<KvFormat> {};

TEST_P(NarrowBlocksTest, AreCloseAndDoNotDependOnChunks) {
  const double tolerance = GetParam() == KvFormat::kFloat16 ? 4e-3 : 6e-2;
  ForEachTarget([&] {
    Machine machine(2);
    for (const size_t head_dim : {8, 80}) {
      Problem problem(head_dim, 6, 2, {150, 1, 64, 70});
      const RotaryTable rotary = problem.Rotary();
      const std::vector<float> exact = RunSelfAttention(machine, problem).out;
      problem.shape.kv_format = GetParam();
      std::vector<float> whole(exact.size()), chunked(exact.size());
      Cache first(problem), second(problem);
      std::vector<size_t> done(4), done_chunked(4);
      Feed(machine, problem, rotary, first, done, {150, 1, 64, 70}, whole);
      for (const std::vector<size_t>& chunk :
           {std::vector<size_t>{1, 0, 63, 0}, {70, 1, 1, 69}, {79, 0, 0, 1}}) {
        Feed(machine, problem, rotary, second, done_chunked, chunk, chunked);
      }
      for (size_t i = 0; i < exact.size(); ++i) {
        ASSERT_EQ(whole[i], chunked[i]) << i;
        ASSERT_NEAR(whole[i], exact[i], tolerance);
      }
      ASSERT_NE(whole, exact);
    }
  });
}

// A row must not read what it does not see, and 0 * NaN is NaN: keys and values of later tokens that are not
// finite leave the rows before them as they are, to the bit.
TEST(BlockAttentionTest, WhatIsNotFiniteDoesNotReachEarlierTokens) {
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

TEST_P(NarrowBlocksTest, WhatIsNotFiniteDoesNotReachEarlierTokens) {
  ForEachTarget([&] {
    Machine machine(2);
    for (const size_t group : {1, 3, 16}) {
      Problem problem(48, group * 2, 2, {150, 70});
      problem.shape.kv_format = GetParam();
      const RotaryTable rotary = problem.Rotary();
      const auto run = [&](const Problem& of) {
        Cache cache(of);
        std::vector<size_t> done(2);
        std::vector<float> out(of.num_rows() * of.out_cols());
        Feed(machine, of, rotary, cache, done, {150, 70}, out);
        return out;
      };
      const std::vector<float> expected = run(problem);
      for (const float bad :
           {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
        for (const size_t token : {5, 63, 64, 149}) {
          Problem damaged = problem;
          float* row = damaged.qkv.data() + token * problem.num_cols();
          std::fill(row, row + problem.num_cols(), bad);
          const std::vector<float> out = run(damaged);
          const size_t begin = token * problem.out_cols(), end = 150 * problem.out_cols();
          ASSERT_TRUE(std::equal(out.begin(), out.begin() + begin, expected.begin()))
              << group << " " << token;
          ASSERT_TRUE(std::equal(out.begin() + end, out.end(), expected.begin() + end)) << "other sequence";
          ASSERT_TRUE(std::isnan(out[begin])) << "the token itself shows it";
        }
      }
    }
  });
}

INSTANTIATE_TEST_SUITE_P(Formats, NarrowBlocksTest, testing::Values(KvFormat::kFloat16, KvFormat::kInt8),
                         [](const auto& info) { return std::string(KvFormatName(info.param)); });

TEST(KvFormatTest, NamesAreReadBack) {
  for (const std::string_view name : KvFormatNames()) {
    const Result<KvFormat> format = ParseKvFormat(name);
    ASSERT_TRUE(format.ok());
    EXPECT_EQ(KvFormatName(*format), name);
  }
  EXPECT_NE(ParseKvFormat("int4").status().message().find("float32, float16, int8"), std::string::npos);
}

TEST(BlockAttentionTest, AnyChunkingGivesTheSameBits) {
  EXPECT_TRUE(rc::check([] {
    Machine machine(*rc::gen::inRange<size_t>(1, 4));
    const size_t kv_heads = *rc::gen::inRange<size_t>(1, 3), group = *rc::gen::inRange<size_t>(1, 6);
    const auto lengths = *rc::gen::container<std::vector<int32_t>>(3, rc::gen::inRange<int32_t>(1, 200));
    const Problem problem(2 * *rc::gen::inRange<size_t>(1, 20), kv_heads * group, kv_heads, lengths);
    const RotaryTable rotary = problem.Rotary();
    const Results expected = RunSelfAttention(machine, problem);
    Cache cache(problem);
    std::vector<size_t> done(3);
    std::vector<float> out(expected.out.size());
    for (;;) {
      std::vector<size_t> chunk(3);
      size_t total = 0;
      for (size_t s = 0; s < 3; ++s) {
        const size_t left = static_cast<size_t>(lengths[s]) - done[s];
        chunk[s] = std::min(left, *rc::gen::inRange<size_t>(1, 100));
        total += chunk[s];
      }
      if (total == 0) break;
      Feed(machine, problem, rotary, cache, done, chunk, out);
    }
    RC_ASSERT(out == expected.out);
  }));
}

TEST(BlockAttentionTest, BidirectionalAndPrefixBlocksGiveTheBitsOfSelfAttention) {
  Machine machine(2);
  for (const AttentionMask mask : {AttentionMask::kBidirectional, AttentionMask::kPrefix}) {
    const Problem problem(32, 6, 2, {150, 1, 64, 200}, mask);
    const RotaryTable rotary = problem.Rotary();
    const Results expected = RunSelfAttention(machine, problem);
    Cache cache(problem);
    std::vector<size_t> done(4);
    std::vector<float> out(expected.out.size());
    if (mask == AttentionMask::kPrefix) {
      // The prefix in one chunk, with a few tokens of the rest; then the rest.
      Feed(machine, problem, rotary, cache, done, {103, 1, 42, 140}, out);
      Feed(machine, problem, rotary, cache, done, {47, 0, 22, 60}, out);
    } else {
      Feed(machine, problem, rotary, cache, done, {150, 1, 64, 200}, out);
    }
    EXPECT_EQ(out, expected.out);
  }
}

// A block does not know where it stands: blocks that were filled at the start of one sequence serve, bit for
// bit, at a later place of another.
TEST(BlockAttentionTest, OnlyTheDistanceCounts) {
  Machine machine(2);
  constexpr size_t kFront = 3 * kBlockTokens;
  const Problem whole(32, 4, 2, {kFront + 100});
  Problem tail(32, 4, 2, {100});
  std::copy(whole.qkv.begin() + kFront * whole.num_cols(), whole.qkv.end(), tail.qkv.begin());
  const RotaryTable rotary = whole.Rotary();
  const Results expected = RunSelfAttention(machine, whole);

  Cache tail_cache(tail), whole_cache(whole);
  std::vector<size_t> tail_done = {0}, whole_done = {0};
  std::vector<float> out(tail.num_rows() * tail.out_cols()), whole_out(expected.out.size());
  Feed(machine, tail, rotary, tail_cache, tail_done, {100}, out);
  Feed(machine, whole, rotary, whole_cache, whole_done, {kFront}, whole_out);
  whole_cache.blocks[0].resize(3);
  for (std::byte* block : tail_cache.blocks[0]) whole_cache.blocks[0].push_back(block);

  const size_t floats = tail.qkv.size() / tail.num_rows();
  const std::vector<int32_t> tokens(100), starts = {0, 100};
  std::vector<int32_t> positions(100);
  for (int32_t i = 0; i < 100; ++i) positions[size_t(i)] = static_cast<int32_t>(kFront) + i;
  const SequenceKv kv = {.blocks = whole_cache.blocks[0], .num_tokens = kFront + 100};
  const Tensor qkv = ToTensor(machine.tensors, 100, floats, tail.qkv);
  const Tensor moved = AttendBlocks(machine.execution, {.shape = whole.shape,
                                                        .rotary = rotary,
                                                        .qkv = qkv,
                                                        .batch = {tokens, positions, starts},
                                                        .kv = {&kv, 1}});
  EXPECT_EQ(ToVector(moved.data(), out.size()),
            std::vector<float>(expected.out.begin() + kFront * whole.out_cols(), expected.out.end()));
  EXPECT_NE(ToVector(moved.data(), out.size()), out) << "the blocks in front count";
}

}  // namespace
}  // namespace qwen25

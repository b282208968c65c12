// Routed attention, held to an oracle over the blocks that it says it read.
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <numeric>
#include <vector>

#include "base/rng.h"
#include "ops/attention/block_attention.h"
#include "ops/routing/choose_blocks.h"
#include "ops/routing/layer_routing.h"

namespace qwen25 {
namespace {

struct Machine {
  explicit Machine(size_t num_threads = 1) : threads(num_threads), scratch(num_threads) {}
  ThreadPool threads;
  TensorPool tensors;
  Scratch scratch;
  Execution execution{threads, tensors, scratch, nullptr};
};

// One sequence with its blocks and panels.
class CachedSequence {
 public:
  CachedSequence(const AttentionShape& shape, size_t max_tokens) {
    const size_t blocks = BlocksFor(max_tokens);
    for (size_t i = 0; i < blocks; ++i) Add(shape.BytesPerBlock(), blocks_);
    for (size_t i = 0; i * kPanelBlocks < blocks; ++i) Add(shape.BytesPerPanel(), panels_);
  }
  SequenceKv View(size_t num_tokens, bool with_panels = true) const {
    return {.blocks = blocks_,
            .num_tokens = num_tokens,
            .summaries = with_panels ? std::span<std::byte* const>(panels_) : std::span<std::byte* const>()};
  }

 private:
  void Add(size_t num_bytes, std::vector<std::byte*>& to) {
    memory_.emplace_back(num_bytes);
    std::memset(memory_.back().data(), 0, num_bytes);
    to.push_back(memory_.back().data());
  }
  std::vector<AlignedBuffer<std::byte>> memory_;
  std::vector<std::byte*> blocks_, panels_;
};

// One for all sequences; none for null.
std::span<const LayerRouting> Span(const LayerRouting* routing) {
  return {routing, routing == nullptr ? size_t{0} : size_t{1}};
}

// A sequence whose keys come in clusters, so that blocks differ.
struct Problem {
  AttentionShape shape;
  size_t length;
  std::vector<float> qkv;
  RotaryTable rotary;

  Problem(size_t head_dim, size_t heads, size_t kv_heads, size_t length, uint64_t seed,
          KvFormat format = KvFormat::kFloat32)
      : shape{heads, kv_heads, head_dim, 1 / std::sqrt(static_cast<float>(head_dim)), format},
        length(length),
        qkv(length * num_cols()),
        rotary(InverseFrequencies(head_dim, 10000), length) {
    Rng rng(seed);
    std::vector<float> center(num_cols());
    for (size_t t = 0; t < length; ++t) {
      if (t % 50 == 0) {
        for (float& c : center) c = static_cast<float>(rng.Normal());
      }
      for (size_t c = 0; c < num_cols(); ++c) {
        qkv[t * num_cols() + c] = 1.2f * center[c] + static_cast<float>(0.7 * rng.Normal());
      }
    }
  }
  size_t num_cols() const { return (shape.num_heads + 2 * shape.num_kv_heads) * shape.head_dim; }
  size_t out_cols() const { return shape.num_heads * shape.head_dim; }

  // Appends and attends in chunks; rows in order.
  std::vector<float> Run(const std::vector<size_t>& chunks, const LayerRouting* routing, size_t threads = 1,
                         bool with_panels = true) const {
    Machine machine(threads);
    const CachedSequence cache(shape, length);
    std::vector<float> out;
    size_t done = 0;
    for (const size_t count : chunks) {
      std::vector<int32_t> tokens(count), positions(count);
      for (size_t i = 0; i < count; ++i) positions[i] = static_cast<int32_t>(done + i);
      const std::vector<int32_t> starts = {0, static_cast<int32_t>(count)};
      const TokenBatch batch = {tokens, positions, starts};
      const SequenceKv kv = cache.View(done + count, with_panels);
      const Tensor input = machine.execution.tensors.New(count, num_cols());
      std::copy_n(qkv.data() + done * num_cols(), count * num_cols(), input.data());
      const BlockAttentionCall call = {.shape = shape,
                                       .rotary = rotary,
                                       .qkv = input,
                                       .batch = batch,
                                       .kv = {&kv, 1},
                                       .routing = Span(routing)};
      AppendKv(machine.execution, call);
      const Tensor result = AttendBlocks(machine.execution, call);
      out.insert(out.end(), result.data(), result.data() + count * out_cols());
      done += count;
    }
    return out;
  }

  // The textbook over the blocks that `reads(head, position, block)` allows.
  template <typename Reads>
  std::vector<double> Oracle(size_t position, const Reads& reads) const {
    const size_t dim = shape.head_dim, half = dim / 2;
    const std::vector<double> frequencies = InverseFrequencies(dim, 10000);
    std::vector<double> out(out_cols());
    for (size_t h = 0; h < shape.num_heads; ++h) {
      const size_t kv_head = h / shape.HeadsPerGroup();
      const float* q = &qkv[position * num_cols() + h * dim];
      std::vector<double> sum(dim);
      double total = 0;
      for (size_t j = 0; j <= position; ++j) {
        if (!reads(kv_head, j)) continue;
        const float* k = &qkv[j * num_cols() + shape.KeyColumn(kv_head)];
        const float* v = &qkv[j * num_cols() + shape.ValueColumn(kv_head)];
        double score = 0;
        for (size_t i = 0; i < half; ++i) {
          const double angle = double(position - j) * frequencies[i], c = std::cos(angle),
                       s = std::sin(angle);
          score += (q[i] * c - q[i + half] * s) * k[i] + (q[i + half] * c + q[i] * s) * k[i + half];
        }
        const double p = std::exp(score * shape.scale);
        total += p;
        for (size_t d = 0; d < dim; ++d) sum[d] += p * v[d];
      }
      for (size_t d = 0; d < dim; ++d) out[h * dim + d] = sum[d] / total;
    }
    return out;
  }
};

RoutingPolicy SmallPolicy(RoutingPolicy::Kind kind) {
  return {
      .kind = kind, .max_blocks = 3, .top_p = 0.9f, .sink_blocks = 1, .local_blocks = 1, .dense_below = 0};
}

TEST(RoutedAttentionTest, IsExactOverTheBlocksThatItRead) {
  for (const auto kind : {RoutingPolicy::Kind::kTopK, RoutingPolicy::Kind::kTopP}) {
    for (const BlockScore score : {BlockScore::kMean, BlockScore::kBound, BlockScore::kOutlier}) {
      const Problem problem(16, 6, 2, 1000, 3);
      RoutingTrace trace(1, 2, problem.length);
      LayerRouting routing = {.policy = SmallPolicy(kind), .trace = &trace};
      routing.policy.score = score;
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

TEST(RoutedAttentionTest, ChoosesBlocksThatHoldTheMostAttention) {
  const Problem problem(16, 6, 2, 1500, 5);
  RoutingTrace trace(1, 2, problem.length);
  const LayerRouting routing = {.policy = SmallPolicy(RoutingPolicy::Kind::kTopK), .trace = &trace};
  problem.Run({problem.length}, &routing);
  // The share of attention that the best three candidates hold, against that of the chosen ones.
  double chosen_share = 0, best_share = 0;
  for (size_t t = 640; t < problem.length; t += 13) {
    const std::vector<float> shares = [&] {
      std::vector<float> result(t / kBlockTokens - 1);
      Problem one = problem;
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
    const Problem problem(32, 4, 2, 700, 9, format);
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
    const Problem problem(16, 6, 2, length, seed, format);
    LayerRouting routing = {
        .policy = SmallPolicy(*rc::gen::element(RoutingPolicy::Kind::kTopK, RoutingPolicy::Kind::kTopP))};
    routing.policy.max_missed = *rc::gen::element(1.0f, 0.9f);
    std::vector<size_t> chunks;
    for (size_t left = length; left > 0; left -= chunks.back()) {
      chunks.push_back(std::min(left, *rc::gen::inRange<size_t>(1, 200)));
    }
    RC_ASSERT(problem.Run(chunks, &routing, 2) == problem.Run({length}, &routing));
  }));
}

// SelfAttention over several copies of a problem's sequence, cut to the given lengths.
struct SelfResults {
  std::vector<float> out, dqkv;
};
SelfResults RunSelf(const Problem& problem, const std::vector<size_t>& lengths, const LayerRouting* routing,
                    size_t threads, const std::vector<float>& dout) {
  Machine machine(threads);
  Tape tape;
  machine.execution.tape = &tape;
  std::vector<int32_t> positions, starts = {0};
  for (const size_t length : lengths) {
    for (size_t i = 0; i < length; ++i) positions.push_back(static_cast<int32_t>(i));
    starts.push_back(static_cast<int32_t>(positions.size()));
  }
  const std::vector<int32_t> tokens(positions.size());
  const TokenBatch batch = {tokens, positions, starts};
  const Tensor qkv = machine.tensors.New(positions.size(), problem.num_cols());
  for (size_t row = 0; row < positions.size(); ++row) {
    std::copy_n(problem.qkv.data() + static_cast<size_t>(positions[row]) * problem.num_cols(),
                problem.num_cols(), qkv.data() + row * problem.num_cols());
  }
  SelfResults results;
  {
    const Tensor out = SelfAttention(machine.execution, {.shape = problem.shape,
                                                         .rotary = problem.rotary,
                                                         .qkv = qkv,
                                                         .batch = batch,
                                                         .routing = Span(routing)});
    results.out.assign(out.data(), out.data() + positions.size() * problem.out_cols());
    EXPECT_TRUE(out.MakeGrad());
    for (size_t i = 0; i < results.out.size(); ++i) out.grad()[i] = dout[i % dout.size()];
    tape.BackwardTo(0, machine.execution);
  }
  results.dqkv.assign(qkv.grad(), qkv.grad() + positions.size() * problem.num_cols());
  return results;
}

std::vector<float> RandomVector(size_t count, uint64_t seed) {
  Rng rng(seed);
  std::vector<float> values(count);
  for (float& x : values) x = static_cast<float>(rng.Normal());
  return values;
}

TEST(RoutedSelfAttentionTest, ChoosesAndComputesAsWithACache) {
  for (const auto kind : {RoutingPolicy::Kind::kTopK, RoutingPolicy::Kind::kTopP}) {
    const Problem problem(16, 6, 2, 777, 12);
    const LayerRouting routing = {.policy = SmallPolicy(kind)};
    const std::vector<float> cached = problem.Run({777}, &routing);
    const SelfResults self = RunSelf(problem, {300, 777, 5}, &routing, 2, {1.0f});
    EXPECT_TRUE(std::equal(cached.begin(), cached.end(), self.out.begin() + 300 * problem.out_cols()));
    EXPECT_TRUE(std::equal(self.out.begin(), self.out.begin() + 300 * problem.out_cols(), cached.begin()));
  }
}

TEST(RoutedSelfAttentionTest, GradientsAreThoseOfTheBlocksThatWereRead) {
  Problem problem(8, 4, 2, 500, 8);
  RoutingTrace trace(1, 2, problem.length);
  LayerRouting routing = {.policy = SmallPolicy(RoutingPolicy::Kind::kTopP), .trace = &trace};
  const std::vector<float> dout = RandomVector(problem.length * problem.out_cols(), 3);
  const SelfResults results = RunSelf(problem, {problem.length}, &routing, 2, dout);
  const auto loss = [&] {
    double sum = 0;
    for (size_t t = 0; t < problem.length; ++t) {
      const std::vector<double> out = problem.Oracle(
          t, [&](size_t kv_head, size_t j) { return trace.Read(0, kv_head, t, j / kBlockTokens); });
      for (size_t i = 0; i < out.size(); ++i) sum += out[i] * dout[t * out.size() + i];
    }
    return sum;
  };
  const std::vector<float> kept = problem.qkv;
  for (const uint64_t seed : {1, 2, 3, 4}) {
    const std::vector<float> direction = RandomVector(problem.qkv.size(), seed);
    const auto shifted = [&](float step) {
      for (size_t i = 0; i < kept.size(); ++i) problem.qkv[i] = kept[i] + step * direction[i];
      return loss();
    };
    constexpr float kStep = 1e-3f;
    const double expected = (shifted(kStep) - shifted(-kStep)) / (2 * kStep);
    double slope = 0;
    for (size_t i = 0; i < kept.size(); ++i) slope += double{results.dqkv[i]} * direction[i];
    EXPECT_NEAR(slope, expected, 1e-3 * std::abs(expected) + 1e-2);
  }
}

TEST(RoutedSelfAttentionTest, ThreadsAndPassesGiveTheSameBits) {
  const Problem problem(16, 6, 2, 600, 21);
  const std::vector<float> dout = RandomVector(600 * problem.out_cols(), 3);
  const LayerRouting routing = {.policy = SmallPolicy(RoutingPolicy::Kind::kTopK)};
  for (const std::vector<size_t>& lengths : {std::vector<size_t>{600}, {400, 400, 400, 400}}) {
    const SelfResults one = RunSelf(problem, lengths, &routing, 1, dout);
    const SelfResults three = RunSelf(problem, lengths, &routing, 3, dout);
    EXPECT_EQ(one.out, three.out);
    EXPECT_EQ(one.dqkv, three.dqkv);
  }
}

TEST(RoutedSelfAttentionTest, WithoutAChoiceGradientsHaveTheBitsOfDense) {
  const Problem problem(16, 6, 2, 600, 22);
  const std::vector<float> dout = RandomVector(600 * problem.out_cols(), 3);
  LayerRouting routing = {.policy = SmallPolicy(RoutingPolicy::Kind::kTopK)};
  routing.policy.max_blocks = 64;
  const SelfResults dense = RunSelf(problem, {600}, nullptr, 2, dout);
  const SelfResults routed = RunSelf(problem, {600}, &routing, 2, dout);
  EXPECT_EQ(dense.out, routed.out);
  EXPECT_EQ(dense.dqkv, routed.dqkv);
}

TEST(RoutedAttentionTest, ARepetitiveTextReadsLess) {
  // The same 48 keys and values over and over, against ever new ones.
  Problem repeated(16, 2, 1, 1600, 6), fresh(16, 2, 1, 1600, 6);
  for (size_t t = 48; t < 1600; ++t) {
    std::copy_n(repeated.qkv.data() + (t % 48) * repeated.num_cols(), repeated.num_cols(),
                repeated.qkv.data() + t * repeated.num_cols());
  }
  const auto read = [](const Problem& problem, uint32_t probes) {
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
  const Problem problem(16, 4, 1, 900, 2);
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
  const Problem problem(16, 4, 1, 900, 4);
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
  Problem near(16, 2, 1, 800, 6), spread(16, 2, 1, 800, 6);
  for (size_t t = 0; t < 800; ++t) {
    for (size_t i = 0; i < near.num_cols(); ++i) {
      near.qkv[t * near.num_cols() + i] = t / kBlockTokens >= 11 ? 3.0f : 0.0f;
      spread.qkv[t * near.num_cols() + i] = 0.1f;
    }
  }
  const auto read = [](const Problem& problem, uint32_t probes) {
    RoutingTrace trace(1, 1, problem.length);
    LayerRouting routing = {.policy = SmallPolicy(RoutingPolicy::Kind::kTopP), .trace = &trace};
    routing.policy.probe_blocks = probes;
    problem.Run({problem.length}, &routing);
    return trace.NumRead(0, 0, problem.length - 1);
  };
  for (const uint32_t probes : {0, 2}) EXPECT_EQ(read(near, probes), 3u);
  EXPECT_EQ(read(spread, 0), 6u);
  EXPECT_EQ(read(spread, 2), 5u);
}

TEST(ChooseBlocksTest, TakesTheGreatestAndOfEqualOnesTheEarlier) {
  RoutingPolicy policy = SmallPolicy(RoutingPolicy::Kind::kTopK);
  const std::vector<float> shares = {-1.0f, 0.1f, 0.2f, 0.1f, 0.1f, 0.0f};
  std::vector<uint32_t> order(6);
  std::vector<uint64_t> chosen(1);
  EXPECT_FLOAT_EQ(ChooseBlocks(policy, shares, 0.3f, order, chosen), 0.7f);
  EXPECT_EQ(chosen[0], 0b001110u);
  policy.kind = RoutingPolicy::Kind::kTopP;
  policy.top_p = 0.5f;
  EXPECT_FLOAT_EQ(ChooseBlocks(policy, shares, 0.3f, order, chosen), 0.5f);
  EXPECT_EQ(chosen[0], 0b000100u);
  EXPECT_FLOAT_EQ(ChooseBlocks(policy, shares, 0.6f, order, chosen), 0.6f);
  EXPECT_EQ(chosen[0], 0u);
}

TEST(ChooseBlocksTest, TakesTheGreatestOfVeryMany) {
  EXPECT_TRUE(rc::check([] {
    const size_t count = *rc::gen::inRange<size_t>(1, 3000);
    RoutingPolicy policy{.kind = RoutingPolicy::Kind::kTopK};
    policy.max_blocks = *rc::gen::inRange<uint32_t>(1, 40);
    Rng rng(*rc::gen::arbitrary<uint64_t>());
    std::vector<float> shares(count);
    // Few different numbers, so that many are equal.
    for (float& share : shares) share = rng.Below(8) == 0 ? -1.0f : static_cast<float>(rng.Below(50)) / 50;
    std::vector<uint32_t> order(count), expected(count);
    std::vector<uint64_t> chosen((count + 63) / 64);
    ChooseBlocks(policy, shares, 0, order, chosen);
    std::iota(expected.begin(), expected.end(), 0u);
    std::ranges::stable_sort(expected, std::greater(), [&](uint32_t block) { return shares[block]; });
    for (size_t i = 0; i < count; ++i) {
      const uint32_t block = expected[i];
      const bool is_chosen = chosen[block / 64] >> (block % 64) & 1;
      RC_ASSERT(is_chosen == (i < policy.max_blocks && shares[block] >= 0));
    }
  }));
}

TEST(ChooseBlocksTest, UnknownSharesAreRead) {
  RoutingPolicy policy = SmallPolicy(RoutingPolicy::Kind::kTopK);
  policy.max_blocks = 1;
  const float nan = std::numeric_limits<float>::quiet_NaN();
  std::vector<uint32_t> order(4);
  std::vector<uint64_t> chosen(1);
  ChooseBlocks(policy, std::vector<float>{-1, 0.9f, nan, 0.1f}, nan, order, chosen);
  EXPECT_EQ(chosen[0], 0b0100u);
}

TEST(RoutingPolicyTest, ParsesWhatItPrints) {
  for (const char* text : {"dense", "top_k:7", "top_p:0.5,max_blocks=9,score=mean,sink=2,local=0",
                           "top_k:16,score=bound,dense_below=0,max_missed=0.25"}) {
    const Result<RoutingPolicy> policy = RoutingPolicy::Parse(text);
    ASSERT_TRUE(policy.ok()) << policy.status().message();
    const Result<RoutingPolicy> again = RoutingPolicy::Parse(policy->ToString());
    ASSERT_TRUE(again.ok()) << again.status().message();
    EXPECT_EQ(*policy, *again);
  }
  for (const char* text : {"", "best", "top_k:0", "top_k:x", "top_p:1.5", "top_p:0.5,", "top_p:nan",
                           "top_p:0.5,sink=0", "top_p:0.5,score=good", "top_p:0.5,local", "dense,size=1"}) {
    const Result<RoutingPolicy> policy = RoutingPolicy::Parse(text);
    EXPECT_FALSE(policy.ok()) << text;
  }
}

// Blocks of a sequence that are handed out as those of another one, but for those that are missing.
class BlocksOfList : public BlockSource {
 public:
  explicit BlocksOfList(std::span<std::byte* const> blocks, size_t missing = SIZE_MAX)
      : blocks_(blocks), missing_(missing) {}
  const std::byte* Block(size_t, size_t block) const override {
    return block == missing_ ? nullptr : blocks_[block];
  }

 private:
  std::span<std::byte* const> blocks_;
  size_t missing_;
};

// The last rows of a problem whose first blocks count as recalled: outputs, and what was read.
struct RecalledRun {
  static constexpr size_t kRecalled = 10, kFirst = (kRecalled + 4) * kBlockTokens;
  std::vector<float> out;
  RoutingTrace trace;

  RecalledRun(const Problem& problem, const RoutingPolicy& policy, size_t missing = SIZE_MAX)
      : RecalledRun(problem, policy, missing, problem.length) {}
  // Seen at most `max_positions` away.
  RecalledRun(const Problem& problem, const RoutingPolicy& policy, size_t missing, size_t max_positions,
              std::span<const uint8_t> num_tokens = {})
      : trace(1, problem.shape.num_kv_heads, problem.length) {
    Machine machine;
    const CachedSequence cache(problem.shape, problem.length);
    const RotaryTable rotary(problem.rotary.inverse_frequencies(), max_positions, /*clamps=*/true);
    std::vector<int32_t> tokens(problem.length), positions(problem.length);
    std::iota(positions.begin(), positions.end(), 0);
    const Tensor input = machine.execution.tensors.New(problem.length, problem.num_cols());
    std::ranges::copy(problem.qkv, input.data());
    const std::vector<int32_t> starts = {0, static_cast<int32_t>(problem.length)};
    SequenceKv kv = cache.View(problem.length);
    AppendKv(machine.execution, {.shape = problem.shape,
                                 .rotary = rotary,
                                 .qkv = input,
                                 .batch = {tokens, positions, starts},
                                 .kv = {&kv, 1}});
    const BlocksOfList source(kv.blocks, missing);
    std::vector<std::byte*> own(kv.blocks.begin(), kv.blocks.end());
    std::fill_n(own.begin(), kRecalled, nullptr);  // nobody looks at these
    kv.blocks = own;
    kv.num_recalled = kRecalled;
    kv.source = &source;
    kv.recalled_tokens = num_tokens;
    const size_t count = problem.length - kFirst;
    const Tensor last = machine.execution.tensors.New(count, problem.num_cols());
    std::copy_n(input.data() + kFirst * problem.num_cols(), count * problem.num_cols(), last.data());
    const std::vector<int32_t> last_starts = {0, static_cast<int32_t>(count)};
    const TokenBatch batch = {std::span(tokens).subspan(kFirst), std::span(positions).subspan(kFirst),
                              last_starts};
    const LayerRouting routing = {.policy = policy, .trace = &trace};
    const Tensor result = AttendBlocks(machine.execution, {.shape = problem.shape,
                                                           .rotary = rotary,
                                                           .qkv = last,
                                                           .batch = batch,
                                                           .kv = {&kv, 1},
                                                           .routing = Span(&routing)});
    out.assign(result.data(), result.data() + count * problem.out_cols());
  }
};

TEST(RecalledAttentionTest, AreBlocksLikeOthersWhereEverythingIsRead) {
  const Problem problem(16, 4, 2, 1100, 1);
  const std::vector<float> plain = problem.Run({problem.length}, nullptr);
  const std::vector<float> rows(plain.begin() + RecalledRun::kFirst * problem.out_cols(), plain.end());
  EXPECT_EQ(RecalledRun(problem, {}).out, rows);
  RoutingPolicy all = SmallPolicy(RoutingPolicy::Kind::kTopK);
  all.max_blocks = 1000;
  EXPECT_EQ(RecalledRun(problem, all).out, rows);
}

TEST(RecalledAttentionTest, CompeteWithTheSequencesOwnAndLeaveItsSinkAlone) {
  const Problem problem(16, 4, 2, 1100, 2);
  for (const auto kind : {RoutingPolicy::Kind::kTopK, RoutingPolicy::Kind::kTopP}) {
    for (const uint32_t local : {1u, 6u}) {  // with 6, all of its own blocks are always read
      RoutingPolicy policy = SmallPolicy(kind);
      policy.local_blocks = local;
      for (const size_t missing : {SIZE_MAX, size_t{3}}) {
        const RecalledRun run(problem, policy, missing);
        bool any_recalled = false, any_left_out = false;
        for (size_t t = RecalledRun::kFirst; t < problem.length; ++t) {
          for (size_t kv_head = 0; kv_head < 2; ++kv_head) {
            EXPECT_TRUE(run.trace.Read(0, kv_head, t, RecalledRun::kRecalled)) << "the sink";
            for (size_t block = 0; block < RecalledRun::kRecalled; ++block) {
              (run.trace.Read(0, kv_head, t, block) ? any_recalled : any_left_out) = true;
            }
          }
          const std::vector<double> want = problem.Oracle(t, [&](size_t kv_head, size_t j) {
            return j / kBlockTokens != missing && run.trace.Read(0, kv_head, t, j / kBlockTokens);
          });
          const float* got = &run.out[(t - RecalledRun::kFirst) * problem.out_cols()];
          for (size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(got[i], want[i], 2e-4) << t << " " << i;
        }
        EXPECT_TRUE(any_recalled && any_left_out);
      }
    }
  }
}

TEST(RecalledAttentionTest, CountAsManyTokensAsTheyHave) {
  // Of blocks 2 and 3 one token and five; what follows in them is as good as not there.
  std::vector<uint8_t> counts(RecalledRun::kRecalled, kBlockTokens);
  counts[2] = 1;
  counts[3] = 5;
  for (const KvFormat format : {KvFormat::kFloat32, KvFormat::kFloat16, KvFormat::kInt8}) {
    const Problem problem(16, 4, 2, 1100, 3, format);
    const double tolerance = format == KvFormat::kInt8 ? 0.05 : format == KvFormat::kFloat16 ? 5e-3 : 2e-4;
    for (const auto kind :
         {RoutingPolicy::Kind::kDense, RoutingPolicy::Kind::kTopK, RoutingPolicy::Kind::kTopP}) {
      const RoutingPolicy policy = SmallPolicy(kind);
      const RecalledRun run(problem, policy, SIZE_MAX, problem.length, counts);
      const RecalledRun whole(problem, policy);
      size_t reads = 0, reads_of_whole = 0;
      for (size_t t = RecalledRun::kFirst; t < problem.length; ++t) {
        for (size_t kv_head = 0; kv_head < 2; ++kv_head) {
          reads += run.trace.Read(0, kv_head, t, 2);
          reads_of_whole += whole.trace.Read(0, kv_head, t, 2);
        }
        const std::vector<double> want = problem.Oracle(t, [&](size_t kv_head, size_t j) {
          const size_t block = j / kBlockTokens;
          return run.trace.Read(0, kv_head, t, block) &&
                 (block >= counts.size() || j % kBlockTokens < counts[block]);
        });
        const float* got = &run.out[(t - RecalledRun::kFirst) * problem.out_cols()];
        for (size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(got[i], want[i], tolerance) << t << " " << i;
      }
      if (kind != RoutingPolicy::Kind::kDense) {
        EXPECT_LT(reads, reads_of_whole) << "a token is worth less than 64";
      }
    }
  }
}

TEST(RecalledAttentionTest, ALongListWithoutSummariesOfPanelsIsScoredBlockByBlock) {
  const Problem problem(8, 2, 1, 64 * 64 * 6 + 10, 3);
  RoutingPolicy policy = SmallPolicy(RoutingPolicy::Kind::kTopK);
  policy.far_panels = 1;
  const RecalledRun run(problem, policy, SIZE_MAX, 2 * kBlockTokens);
  const size_t last = problem.length - 1;
  EXPECT_EQ(run.trace.NumRead(0, 0, last), 3u + 1 + 2);
  for (const float value : run.out) EXPECT_TRUE(std::isfinite(value));
}

}  // namespace
}  // namespace qwen25

#include "ops/low_rank.h"

#include <rapidcheck.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/rng.h"
#include "base/test_util.h"

namespace qwen25 {
namespace {

std::vector<float> RandomNumbers(size_t count, Rng& rng) {
  std::vector<float> numbers(count);
  for (float& number : numbers) number = static_cast<float>(rng.Normal());
  return numbers;
}

// One change of rows [first_row, first_row + rows) of a weight.
struct Change {
  size_t first_row, rows, rank;
  std::vector<float> up, down;

  Change(size_t first_row, size_t rows, size_t rank, size_t cols, Rng& rng)
      : first_row(first_row),
        rows(rows),
        rank(rank),
        up(RandomNumbers(rows * rank, rng)),
        down(RandomNumbers(rank * cols, rng)) {}
  LowRankFactors factors() const {
    return {first_row, {up.data(), rows, rank}, {down.data(), rank, down.size() / rank}};
  }
};

std::vector<LowRankFactors> FactorsOf(const std::vector<Change>& changes) {
  std::vector<LowRankFactors> factors;
  for (const Change& change : changes) factors.push_back(change.factors());
  return factors;
}

class LowRankTest : public testing::Test {
 protected:
  Tensor Filled(size_t rows, size_t cols) {
    Tensor tensor = tensors_.New(rows, cols);
    for (size_t i = 0; i < rows * cols; ++i) tensor.data()[i] = static_cast<float>(rng_.Normal());
    return tensor;
  }

  Rng rng_{1};
  ThreadPool threads_{2};
  TensorPool tensors_;
  Scratch scratch_{2};
  Execution execution_{threads_, tensors_, scratch_, nullptr};
};

TEST_F(LowRankTest, AddsTheProductsOfTheFactorsToTheChosenRowsOnly) {
  constexpr size_t kRows = 9, kInputs = 450, kOutputs = 70;
  // Two neighbours, as q and k are, and a second change of the first one.
  std::vector<Change> changes;
  changes.emplace_back(0, 40, 3, kInputs, rng_);
  changes.emplace_back(0, 40, 33, kInputs, rng_);
  changes.emplace_back(40, 20, 1, kInputs, rng_);
  const LowRankUpdate update(threads_, FactorsOf(changes));
  const Tensor x = Filled(kRows, kInputs), out = Filled(kRows, kOutputs);
  const std::vector<float> before(out.data(), out.data() + kRows * kOutputs);
  const std::vector<int32_t> rows = {1, 2, 5, 8};
  update.AddTo(execution_, x, rows, out);
  for (size_t t = 0; t < kRows; ++t) {
    const bool chosen = std::ranges::count(rows, static_cast<int32_t>(t)) > 0;
    for (size_t n = 0; n < kOutputs; ++n) {
      double wanted = before[t * kOutputs + n], scale = 1;
      for (const Change& change : changes) {
        if (!chosen || n < change.first_row || n >= change.first_row + change.rows) continue;
        for (size_t r = 0; r < change.rank; ++r) {
          double h = 0;
          for (size_t m = 0; m < kInputs; ++m) {
            h += double{x.view().Row(t)[m]} * change.down[r * kInputs + m];
          }
          wanted += h * change.up[(n - change.first_row) * change.rank + r];
          scale += std::fabs(h);
        }
      }
      if (scale == 1) {
        EXPECT_EQ(out.view().Row(t)[n], before[t * kOutputs + n]) << t << ", " << n;
      } else {
        EXPECT_NEAR(out.view().Row(t)[n], wanted, 1e-6 * scale) << t << ", " << n;
      }
    }
  }
}

TEST_F(LowRankTest, AnEmptyUpdateOrNoRowsChangeNothing) {
  const Change change(0, 4, 2, 8, rng_);
  const LowRankFactors factors[] = {change.factors()};
  const Tensor x = Filled(3, 8), out = Filled(3, 4);
  const std::vector<float> before(out.data(), out.data() + 12);
  LowRankUpdate(threads_, factors).AddTo(execution_, x, {}, out);
  const std::vector<int32_t> rows = {0, 1, 2};
  EXPECT_TRUE(LowRankUpdate().empty());
  LowRankUpdate().AddTo(execution_, x, rows, out);
  LowRankEmbedding().AddTo(execution_, rows, rows, out);
  EXPECT_TRUE(std::equal(before.begin(), before.end(), out.data()));
}

// What batching relies on. Ranks beyond a block of the products' order of summation are summed in pieces.
TEST_F(LowRankTest, ARowHasTheSameBitsInAnyCompany) {
  EXPECT_TRUE(rc::check([&] {
    const size_t num_rows = *rc::gen::inRange<size_t>(1, 40), inputs = *rc::gen::inRange<size_t>(1, 500),
                 outputs = *rc::gen::inRange<size_t>(1, 80);
    const size_t rank = *rc::gen::element<size_t>(1, 2, 16, 31, 32, 33, 384, 385, 800);
    const Change change(0, outputs, rank, inputs, rng_);
    const LowRankFactors factors[] = {change.factors()};
    const LowRankUpdate update(threads_, factors);
    const Tensor x = Filled(num_rows, inputs), out = Filled(num_rows, outputs);
    std::vector<int32_t> rows;
    for (size_t t = 0; t < num_rows; ++t) {
      if (*rc::gen::inRange(0, 3) > 0) rows.push_back(static_cast<int32_t>(t));
    }
    const std::vector<float> before(out.data(), out.data() + num_rows * outputs);
    update.AddTo(execution_, x, rows, out);
    for (const int32_t row : rows) {
      const auto t = static_cast<size_t>(row);
      const Tensor alone = tensors_.New(1, inputs), alone_out = tensors_.New(1, outputs);
      std::copy_n(x.view().Row(t), inputs, alone.data());
      std::copy_n(before.data() + t * outputs, outputs, alone_out.data());
      const int32_t first[] = {0};
      update.AddTo(execution_, alone, first, alone_out);
      RC_ASSERT(std::memcmp(alone_out.data(), out.view().Row(t), outputs * sizeof(float)) == 0);
    }
  }));
}

TEST_F(LowRankTest, AnEmbeddingAddsTheChangeOfTheTokensRow) {
  constexpr size_t kVocabulary = 11, kWidth = 40, kRank = 5;
  const Change change(0, kVocabulary, kRank, kWidth, rng_);
  const LowRankFactors factors[] = {change.factors()};
  const LowRankEmbedding embedding(threads_, factors);
  const std::vector<int32_t> tokens = {10, 3, 3, 0}, rows = {0, 2};
  const Tensor out = Filled(4, kWidth);
  const std::vector<float> before(out.data(), out.data() + 4 * kWidth);
  embedding.AddTo(execution_, tokens, rows, out);
  for (size_t t = 0; t < 4; ++t) {
    for (size_t m = 0; m < kWidth; ++m) {
      double wanted = before[t * kWidth + m];
      for (size_t r = 0; t % 2 == 0 && r < kRank; ++r) {
        wanted += double{change.up[static_cast<size_t>(tokens[t]) * kRank + r]} * change.down[r * kWidth + m];
      }
      EXPECT_NEAR(out.view().Row(t)[m], wanted, 1e-5);
    }
  }
}

}  // namespace
}  // namespace qwen25

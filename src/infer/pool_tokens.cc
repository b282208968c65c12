#include "infer/pool_tokens.h"

#include <algorithm>
#include <cmath>

namespace qwen25 {
namespace {

void AddRow(std::span<const float> row, double weight, std::span<double> out) {
  for (size_t d = 0; d < out.size(); ++d) out[d] += weight * row[d];
}

}  // namespace

void PoolTokens(SentencePooling pooling, MatrixView<const float> rows, std::span<double> out) {
  QWEN25_CHECK(rows.rows > 0 && out.size() == rows.cols);
  const size_t count = rows.rows;
  const auto number = static_cast<double>(count);
  if (pooling == SentencePooling::kCls || pooling == SentencePooling::kLast) {
    std::ranges::copy(rows.RowSpan(pooling == SentencePooling::kCls ? 0 : count - 1), out.begin());
    return;
  }
  if (pooling == SentencePooling::kMax) {
    std::ranges::copy(rows.RowSpan(0), out.begin());
    for (size_t t = 1; t < count; ++t) {
      for (size_t d = 0; d < out.size(); ++d) out[d] = std::max(out[d], double{rows.Row(t)[d]});
    }
    return;
  }
  std::ranges::fill(out, 0.0);
  const bool weighted = pooling == SentencePooling::kWeightedMean;
  for (size_t t = 0; t < count; ++t) AddRow(rows.RowSpan(t), weighted ? static_cast<double>(t + 1) : 1, out);
  const double divisor = weighted                                      ? number * (number + 1) / 2
                         : pooling == SentencePooling::kMeanSqrtLength ? std::sqrt(number)
                                                                       : number;
  for (double& value : out) value /= divisor;
}

std::vector<double> SentenceVector(std::span<const SentencePooling> poolings,
                                   std::span<const DenseModule> dense, MatrixView<const float> rows) {
  std::vector<double> vector(poolings.size() * rows.cols);
  for (size_t i = 0; i < poolings.size(); ++i) {
    PoolTokens(poolings[i], rows, std::span(vector).subspan(i * rows.cols, rows.cols));
  }
  for (const DenseModule& module : dense) {
    QWEN25_CHECK(module.num_in == vector.size());
    std::vector<double> next(module.num_out);
    for (size_t i = 0; i < module.num_out; ++i) {
      double sum = module.bias.empty() ? 0 : module.bias[i];
      const float* weight = module.weight.data() + i * module.num_in;
      for (size_t j = 0; j < module.num_in; ++j) sum += weight[j] * vector[j];
      next[i] = module.tanh ? std::tanh(sum) : sum;
    }
    vector = std::move(next);
  }
  return vector;
}

void ScaleToUnit(std::span<float> row) {
  double square = 0;
  for (const float value : row) square += double{value} * value;
  const double scale = square == 0 ? 0 : 1 / std::sqrt(square);
  for (float& value : row) value = static_cast<float>(value * scale);
}

void AddUnit(std::span<const double> from, double weight, std::span<float> out) {
  double square = 0;
  for (const double value : from) square += value * value;
  if (square == 0) return;
  const double scale = weight / std::sqrt(square);
  for (size_t d = 0; d < out.size(); ++d) out[d] += static_cast<float>(from[d] * scale);
}

}  // namespace qwen25

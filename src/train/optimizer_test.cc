#include "train/optimizer.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "base/rng.h"
#include "base/test_util.h"
#include "model/model.h"
#include "train/newton_schulz.h"

namespace qwen25 {
namespace {

ModelConfig TinyConfig() {
  ModelConfig config;
  config.vocab_size = 37;
  config.hidden_size = 24;
  config.intermediate_size = 40;
  config.num_hidden_layers = 2;
  config.num_attention_heads = 3;
  config.num_key_value_heads = 1;
  config.head_dim = 8;
  config.max_position_embeddings = 64;
  return config;
}

// A model and its gradients.
struct Trained {
  Model model{TinyConfig()};
  Gradients gradients{model.parameter_set()};

  // Random ones of every parameter, the same for a seed.
  void FillGradients(uint64_t seed, double scale = 1) const {
    Rng rng(seed);
    for (const NamedParameter& named : model.parameters()) {
      float* gradient = gradients.Of(named.parameter);
      for (size_t i = 0; i < named.parameter.size(); ++i) {
        gradient[i] = static_cast<float>(scale * rng.Normal());
      }
    }
  }
  Optimizer NewOptimizer(const OptimizerOptions& options, ThreadPool& threads) const {
    return Optimizer(model.parameter_set(), gradients, options, threads);
  }
};

using Matrix = std::vector<double>;

// a [n, k] times b [k, m], or its transpose's.
Matrix Multiply(const Matrix& a, const Matrix& b, size_t n, size_t k, size_t m, bool transpose_b = false) {
  Matrix c(n * m);
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j < m; ++j) {
      for (size_t l = 0; l < k; ++l)
        c[i * m + j] += a[i * k + l] * (transpose_b ? b[j * k + l] : b[l * m + j]);
    }
  }
  return c;
}

Matrix Transpose(const Matrix& a, size_t rows, size_t cols) {
  Matrix t(a.size());
  for (size_t i = 0; i < rows; ++i) {
    for (size_t j = 0; j < cols; ++j) t[j * rows + i] = a[i * cols + j];
  }
  return t;
}

// Newton-Schulz in double, word for word as published.
Matrix ReferenceNewtonSchulz(Matrix x, size_t rows, size_t cols) {
  if (rows > cols) return Transpose(ReferenceNewtonSchulz(Transpose(x, rows, cols), cols, rows), cols, rows);
  double norm = 0;
  for (const double value : x) norm += value * value;
  norm = std::sqrt(norm) + 1e-7;
  for (double& value : x) value /= norm;
  for (int step = 0; step < 5; ++step) {
    const Matrix a = Multiply(x, x, rows, cols, rows, true);
    const Matrix a2 = Multiply(a, a, rows, rows, rows);
    Matrix b(a.size());
    for (size_t i = 0; i < b.size(); ++i) b[i] = -4.7750 * a[i] + 2.0315 * a2[i];
    const Matrix bx = Multiply(b, x, rows, rows, cols);
    for (size_t i = 0; i < x.size(); ++i) x[i] = 3.4445 * x[i] + bx[i];
  }
  return x;
}

TEST(NewtonSchulzTest, FollowsTheDoubleReferenceForEveryShape) {
  ThreadPool threads(2);
  NewtonSchulz newton_schulz(threads, 200 * 130, 130);
  Rng rng(1);
  for (const auto& [rows, cols] : std::vector<std::pair<size_t, size_t>>{
           {1, 1}, {1, 17}, {17, 1}, {8, 8}, {24, 40}, {40, 24}, {64, 96}, {33, 31}, {200, 70}, {130, 200}}) {
    Matrix x(rows * cols);
    for (size_t i = 0; i < x.size(); ++i) {
      newton_schulz.input()[i] = static_cast<float>(0.01 * rng.Normal());
      x[i] = newton_schulz.input()[i];
    }
    const Matrix expected = ReferenceNewtonSchulz(x, rows, cols);
    const float* result = newton_schulz.Run(rows, cols);
    for (size_t i = 0; i < x.size(); ++i) ASSERT_NEAR(result[i], expected[i], 1e-4) << rows << "x" << cols;
    // Rows (or columns) are about orthonormal: the Gram matrix has a diagonal near 1.
    Matrix out(result, result + x.size());
    if (rows > cols) out = Transpose(out, rows, cols);
    const size_t side = std::min(rows, cols), length = std::max(rows, cols);
    const Matrix gram = Multiply(out, out, side, length, side, true);
    double trace = 0;
    for (size_t i = 0; i < side; ++i) trace += gram[i * side + i];
    EXPECT_GT(trace / double(side), 0.4) << rows << "x" << cols;
    EXPECT_LT(trace / double(side), 1.5) << rows << "x" << cols;
  }
}

TEST(NewtonSchulzTest, ZeroStaysZero) {
  ThreadPool threads(1);
  NewtonSchulz newton_schulz(threads, 12, 3);
  std::fill_n(newton_schulz.input(), 12, 0.0f);
  const float* result = newton_schulz.Run(3, 4);
  for (int i = 0; i < 12; ++i) EXPECT_EQ(result[i], 0.0f);
}

// The optimiser in double, parameter by parameter, from the formulas of optimizer.h.
class ReferenceOptimizer {
 public:
  ReferenceOptimizer(const Trained& trained, const OptimizerOptions& options)
      : model_(trained.model), gradients_(trained.gradients), options_(options) {
    for (const NamedParameter& named : model_.parameters()) {
      const size_t size = named.parameter.rows * named.parameter.cols;
      state_[named.name] = {Matrix(named.parameter.data, named.parameter.data + size), Matrix(size),
                            Matrix(size)};
    }
  }

  void Step(double factor) {
    ++step_;
    double norm = 0;
    for (const NamedParameter& named : model_.parameters()) {
      const size_t size = named.parameter.rows * named.parameter.cols;
      const float* gradient = gradients_.Of(named.parameter);
      for (size_t i = 0; i < size; ++i) norm += double{gradient[i]} * gradient[i];
    }
    norm = std::sqrt(norm);
    const double clip = std::min(1.0, options_.clip_norm / (norm + 1e-6));
    for (const NamedParameter& named : model_.parameters()) {
      State& state = state_[named.name];
      const size_t rows = named.parameter.rows, cols = named.parameter.cols, size = rows * cols;
      const bool muon = options_.kind == OptimizerKind::kMuon && named.kind == ParameterKind::kMatrix;
      const double rate = factor * (muon && options_.muon_learning_rate > 0 ? options_.muon_learning_rate
                                                                            : options_.learning_rate);
      const double decay = named.kind == ParameterKind::kVector ? 0 : options_.weight_decay;
      Matrix update(size);
      for (size_t i = 0; i < size; ++i) {
        const double g = clip * gradients_.Of(named.parameter)[i];
        if (muon) {
          state.m[i] = options_.muon_momentum * state.m[i] + g;
          update[i] = g + options_.muon_momentum * state.m[i];
        } else {
          state.m[i] = options_.beta1 * state.m[i] + (1 - options_.beta1) * g;
          state.v[i] = options_.beta2 * state.v[i] + (1 - options_.beta2) * g * g;
          const double m = state.m[i] / (1 - std::pow(options_.beta1, step_));
          const double v = state.v[i] / (1 - std::pow(options_.beta2, step_));
          update[i] = m / (std::sqrt(v) + options_.epsilon);
        }
      }
      double scale = 1;
      if (muon) {
        update = ReferenceNewtonSchulz(update, rows, cols);
        scale = 0.2 * std::sqrt(double(std::max(rows, cols)));
      }
      for (size_t i = 0; i < size; ++i) {
        state.w[i] = state.w[i] * (1 - rate * decay) - rate * scale * update[i];
      }
    }
  }

  void ExpectWeights() {
    for (const NamedParameter& named : model_.parameters()) {
      const Matrix& expected = state_[named.name].w;
      for (size_t i = 0; i < expected.size(); ++i) {
        ASSERT_NEAR(named.parameter.data[i], expected[i], 1e-5)
            << named.name << " " << i << " step " << step_;
      }
    }
  }

 private:
  struct State {
    Matrix w, m, v;
  };
  const Model& model_;
  const Gradients& gradients_;
  const OptimizerOptions options_;
  std::map<std::string, State> state_;
  int step_ = 0;
};

TEST(OptimizerTest, BothKindsFollowTheirFormulas) {
  for (const auto kind : {OptimizerKind::kAdamW, OptimizerKind::kMuon}) {
    SCOPED_TRACE(OptimizerKindName(kind));
    ThreadPool threads(2);
    Trained trained;
    trained.model.Initialize(3);
    const OptimizerOptions options = {.kind = kind,
                                      .learning_rate = 1e-2,
                                      .muon_learning_rate = 2e-2,
                                      .weight_decay = 0.1,
                                      .clip_norm = 5.0};
    Optimizer optimizer = trained.NewOptimizer(options, threads);
    ReferenceOptimizer reference(trained, options);
    for (int step = 0; step < 6; ++step) {
      trained.FillGradients(100 + step, step % 2 == 0 ? 1e-3 : 10);  // not clipped and clipped
      reference.Step(1.0 / (step + 1));
      optimizer.Step(1.0 / (step + 1), optimizer.GradientNorm());
      reference.ExpectWeights();
    }
    EXPECT_EQ(optimizer.num_steps(), 6u);
  }
}

TEST(OptimizerTest, TheNormIsThatOfAllGradientsTogether) {
  ThreadPool threads(2);
  const Trained trained;
  Optimizer optimizer = trained.NewOptimizer({}, threads);
  EXPECT_EQ(optimizer.GradientNorm(), 0.0);
  trained.FillGradients(5);
  double sum = 0;
  for (const NamedParameter& named : trained.model.parameters()) {
    const float* gradient = trained.gradients.Of(named.parameter);
    for (size_t i = 0; i < named.parameter.size(); ++i) sum += double{gradient[i]} * gradient[i];
  }
  EXPECT_NEAR(optimizer.GradientNorm(), std::sqrt(sum), 1e-9 * std::sqrt(sum));
}

TEST(OptimizerTest, AnyNumberOfThreadsGivesTheSameBits) {
  for (const auto kind : {OptimizerKind::kAdamW, OptimizerKind::kMuon}) {
    std::vector<float> first;
    for (const size_t num_threads : {1, 2, 3}) {
      ThreadPool threads(num_threads);
      Trained trained;
      trained.model.Initialize(3);
      Optimizer optimizer = trained.NewOptimizer({.kind = kind}, threads);
      for (int step = 0; step < 3; ++step) {
        trained.FillGradients(step);
        optimizer.Step(1.0, optimizer.GradientNorm());
      }
      const std::vector<float> weights(trained.model.weights().begin(), trained.model.weights().end());
      if (first.empty()) first = weights;
      EXPECT_EQ(std::memcmp(weights.data(), first.data(), first.size() * sizeof(float)), 0);
    }
  }
}

TEST(OptimizerTest, ItsStateIsAllThatAContinuationNeeds) {
  for (const auto kind : {OptimizerKind::kAdamW, OptimizerKind::kMuon}) {
    ThreadPool threads(2);
    Trained trained, copy;
    trained.model.Initialize(3);
    const OptimizerOptions options = {.kind = kind};
    Optimizer optimizer = trained.NewOptimizer(options, threads),
              continued = copy.NewOptimizer(options, threads);
    const auto step = [](const Trained& t, Optimizer& o, int seed) {
      t.FillGradients(seed);
      o.Step(1.0, o.GradientNorm());
    };
    for (int i = 0; i < 3; ++i) step(trained, optimizer, i);
    std::copy(trained.model.weights().begin(), trained.model.weights().end(), copy.model.weights().begin());
    ASSERT_EQ(optimizer.state().size(), continued.state().size());
    size_t numbers = 0;
    for (size_t i = 0; i < optimizer.state().size(); ++i) {
      const OptimizerTensor& from = optimizer.state()[i];
      const OptimizerTensor& to = continued.state()[i];
      EXPECT_EQ(from.name, to.name);
      EXPECT_EQ(from.values.size(), from.rows * from.cols);
      std::copy(from.values.begin(), from.values.end(), to.values.begin());
      numbers += from.values.size();
    }
    EXPECT_EQ(numbers * sizeof(float), optimizer.state_bytes());
    continued.set_num_steps(optimizer.num_steps());
    for (int i = 3; i < 6; ++i) {
      step(trained, optimizer, i);
      step(copy, continued, i);
    }
    EXPECT_EQ(std::memcmp(trained.model.weights().data(), copy.model.weights().data(),
                          trained.model.weights().size_bytes()),
              0);
  }
}

TEST(OptimizerTest, MuonKeepsOneNumberPerHiddenWeight) {
  ThreadPool threads(1);
  const Trained trained;
  const Optimizer optimizer = trained.NewOptimizer({.kind = OptimizerKind::kMuon}, threads);
  for (const OptimizerTensor& tensor : optimizer.state()) {
    const bool hidden_matrix = tensor.name.find("_proj.weight") != std::string::npos;
    EXPECT_EQ(tensor.name.ends_with(".momentum"), hidden_matrix) << tensor.name;
  }
}

}  // namespace
}  // namespace qwen25

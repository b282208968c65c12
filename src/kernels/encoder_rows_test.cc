// LayerNorm and GELU against plain loops in double, on every instruction set and around its vector width.
#include "kernels/encoder_rows.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numbers>
#include <vector>

#include "base/rng.h"
#include "kernels/isa_test_util.h"

namespace qwen25 {
namespace {

TEST(LayerNormTest, EqualsTheFormulaAtEveryWidth) {
  ForEachTarget([] {
    Rng rng(1);
    for (const size_t width : {1, 2, 7, 15, 16, 17, 31, 33, 384, 385}) {
      std::vector<float> x(3 * width), weight(width), bias(width);
      for (float& value : x) value = static_cast<float>(rng.Normal() + 5);
      for (float& value : weight) value = static_cast<float>(rng.Normal());
      for (float& value : bias) value = static_cast<float>(rng.Normal());
      std::vector<float> y = x;
      LayerNormRows({y.data(), 3, width}, weight.data(), bias.data(), 1e-5f, 1, 3);
      for (size_t d = 0; d < width; ++d) EXPECT_EQ(y[d], x[d]) << "row 0 is outside";
      for (size_t t = 1; t < 3; ++t) {
        double mean = 0, variance = 0;
        for (size_t d = 0; d < width; ++d) mean += x[t * width + d];
        mean /= static_cast<double>(width);
        for (size_t d = 0; d < width; ++d) variance += std::pow(x[t * width + d] - mean, 2);
        variance /= static_cast<double>(width);
        for (size_t d = 0; d < width; ++d) {
          const double wanted = (x[t * width + d] - mean) / std::sqrt(variance + 1e-5) * weight[d] + bias[d];
          // The mean, near 5, is rounded; the deviation scales that up.
          const double tolerance = 5e-6 * (1 + 4 * std::fabs(weight[d]) / std::sqrt(variance + 1e-5));
          EXPECT_NEAR(y[t * width + d], wanted, tolerance) << width << " " << d;
        }
      }
    }
  });
}

constexpr float kInfinity = std::numeric_limits<float>::infinity();

double Exact(Gelu kind, double x) {
  if (kind == Gelu::kErf) return x * 0.5 * std::erfc(-x / std::numbers::sqrt2);
  return 0.5 * x * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
}

TEST(GeluTest, EqualsTheFormula) {
  ForEachTarget([] {
    for (const Gelu kind : {Gelu::kErf, Gelu::kTanh}) {
      std::vector<float> x;
      for (float value = -20; value <= 20; value += 0.003f) x.push_back(value);
      std::vector<float> y = x;
      GeluRows({y.data(), 1, y.size()}, kind, 0, 1);
      for (size_t i = 0; i < x.size(); ++i) {
        const double wanted = Exact(kind, x[i]);
        EXPECT_NEAR(y[i], wanted, 1.2e-7 * std::max(1.0, std::fabs(double{x[i]}))) << x[i];
        if (kind == Gelu::kErf && x[i] < 0 && x[i] > -12) {
          EXPECT_NEAR(y[i], wanted, 5e-6 * std::fabs(wanted)) << x[i];
        }
      }
    }
  });
}

TEST(GeluTest, HandlesEveryWidthAndWhatIsNotFinite) {
  ForEachTarget([] {
    for (const Gelu kind : {Gelu::kErf, Gelu::kTanh}) {
      for (size_t width = 1; width < 40; ++width) {
        std::vector<float> x(width, 1.5f), y = x;
        GeluRows({y.data(), 1, width}, kind, 0, 1);
        for (const float value : y) EXPECT_NEAR(value, Exact(kind, 1.5), 3e-7);
      }
      std::vector<float> special = {kInfinity, -kInfinity, std::nanf(""), 0.0f, -0.0f, 1e30f, -1e30f};
      GeluRows({special.data(), 1, special.size()}, kind, 0, 1);
      EXPECT_EQ(special[0], kInfinity);
      EXPECT_FALSE(special[1] > 0);  // the limit is 0; 0 times infinity is no number
      EXPECT_TRUE(std::isnan(special[2]));
      EXPECT_EQ(special[3], 0.0f);
      EXPECT_EQ(special[4], 0.0f);
      EXPECT_EQ(special[5], 1e30f);
      EXPECT_NEAR(special[6], 0.0f, 1e-6f);
    }
  });
}

}  // namespace
}  // namespace qwen25

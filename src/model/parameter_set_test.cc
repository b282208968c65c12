#include "model/parameter_set.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/test_util.h"
#include "model/model.h"
#include "model/tiny_config_test_util.h"

namespace qwen25 {
namespace {

TEST(ParameterSetTest, GradientsHaveThePlacesOfTheirWeights) {
  Model model(TinyConfig());
  const Gradients gradients(model.parameter_set());
  ASSERT_EQ(gradients.values().size(), model.weights().size());
  EXPECT_EQ(std::ranges::count(gradients.values(), 0.0f),
            static_cast<std::ptrdiff_t>(model.weights().size()));
  for (const NamedParameter& named : model.parameters()) {
    EXPECT_EQ(gradients.Of(named.parameter) - gradients.values().data(),
              named.parameter.data - model.weights().data())
        << named.name;
  }
  ThreadPool threads(2);
  Scratch scratch(2);
  TensorPool tensors;
  const Execution execution{threads, tensors, scratch, nullptr, gradients.ranges()};
  // A slice of a fused matrix, and a parameter of another set.
  EXPECT_EQ(execution.GradientOf(model.layers[1].qkv_proj), gradients.Of(model.layers[1].qkv_proj));
  const Model other(TinyConfig());
  EXPECT_EQ(execution.GradientOf(other.norm), nullptr);
  EXPECT_EQ(execution.GradientOf(Parameter()), nullptr);
  // Two sets at a time: a model's and that of something trained beside it.
  const Gradients more(other.parameter_set());
  const GradientRange both[] = {gradients.ranges()[0], more.ranges()[0]};
  const Execution two{threads, tensors, scratch, nullptr, both};
  EXPECT_EQ(two.GradientOf(model.norm), gradients.Of(model.norm));
  EXPECT_EQ(two.GradientOf(other.norm), more.Of(other.norm));

  std::ranges::fill(gradients.values(), 3.0f);
  gradients.Zero(threads);
  EXPECT_EQ(std::ranges::count(gradients.values(), 0.0f),
            static_cast<std::ptrdiff_t>(model.weights().size()));
}

TEST(ParameterSetTest, WhatIsNotFiniteIsNamed) {
  Model model(TinyConfig());
  EXPECT_FALSE(FindNotFinite(model.parameter_set(), model.weights()).has_value());
  model.norm.data[3] = std::numeric_limits<float>::infinity();
  const auto found = FindNotFinite(model.parameter_set(), model.weights());
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->name, "model.norm.weight");
  EXPECT_EQ(found->element, 3u);
  const Gradients gradients(model.parameter_set());
  // Rows of k, the second part of a fused matrix.
  gradients.Of(model.layers[0].qkv_proj)[16 * 16 + 5] = std::numeric_limits<float>::quiet_NaN();
  const auto gradient = FindNotFinite(model.parameter_set(), gradients.values());
  ASSERT_TRUE(gradient.has_value());
  EXPECT_EQ(gradient->name, "model.layers.0.self_attn.k_proj.weight");
  EXPECT_EQ(gradient->element, 5u);
  EXPECT_TRUE(std::isnan(gradient->value));
}

}  // namespace
}  // namespace qwen25

// Random adapters for tests.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/rng.h"
#include "model/adapter/adapter_set.h"

namespace qwen25 {

// Changes every matrix whose name contains `part`, by numbers of about `size`.
inline Adapter RandomAdapter(const ModelConfig& config, size_t rank, uint64_t seed, double size = 0.1,
                             std::string_view part = "") {
  Adapter adapter = {.origin = "random", .matrices = {}};
  Rng rng(seed);
  const auto fill = [&](std::vector<float>& numbers, size_t count) {
    numbers.resize(count);
    for (float& number : numbers) number = static_cast<float>(size * rng.Normal());
  };
  for (const NamedParameter& named : AdaptableParameters(config)) {
    if (named.name.find(part) == named.name.npos) continue;
    AdapterMatrix& matrix = adapter.matrices.emplace_back(
        AdapterMatrix{.parameter = named.name, .rank = rank, .up = {}, .down = {}});
    fill(matrix.up, named.parameter.rows * rank);
    fill(matrix.down, rank * named.parameter.cols);
  }
  return adapter;
}

inline std::shared_ptr<const AdapterSet> RandomAdapters(const ModelConfig& config, size_t rank, uint64_t seed,
                                                        double size = 0.1) {
  ThreadPool threads(1);
  return AdapterSet::Make(config, {{RandomAdapter(config, rank, seed, size)}}, threads).value();
}

}  // namespace qwen25

#include "model/parameter_set.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace qwen25 {
namespace {

constexpr size_t kChunk = 16384;  // numbers per task of zeroing

AlignedBuffer<float> Zeros(size_t size) {
  AlignedBuffer<float> buffer(size);
  if (size > 0) std::memset(buffer.data(), 0, size * sizeof(float));
  return buffer;
}

}  // namespace

ParameterSet::ParameterSet(size_t num_weights) : weights_(Zeros(num_weights)) {}

Gradients::Gradients(const ParameterSet& set)
    : values_(Zeros(set.weights().size())),
      range_{set.weights().data(), set.weights().size(), values_.data()} {}

void Gradients::Zero(ThreadPool& threads) const {
  threads.ParallelFor((values_.size() + kChunk - 1) / kChunk, [&](size_t chunk, size_t) {
    const size_t begin = chunk * kChunk;
    std::memset(values_.data() + begin, 0, std::min(kChunk, values_.size() - begin) * sizeof(float));
  });
}

std::optional<NotFinite> FindNotFinite(const ParameterSet& set, std::span<const float> values) {
  for (const NamedParameter& named : set.parameters()) {
    const auto own = values.subspan(static_cast<size_t>(named.parameter.data - set.weights().data()),
                                    named.parameter.size());
    const auto found = std::ranges::find_if_not(own, [](float value) { return std::isfinite(value); });
    if (found != own.end()) return NotFinite{named.name, static_cast<size_t>(found - own.begin()), *found};
  }
  return {};
}

}  // namespace qwen25

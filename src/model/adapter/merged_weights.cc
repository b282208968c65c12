#include "model/adapter/merged_weights.h"

#include <algorithm>

#include "quant/weight_range.h"

namespace qwen25 {
namespace {

constexpr const char* kEmbedding = "model.embed_tokens.weight";
constexpr const char* kHead = "lm_head.weight";

// sum [cols] += the change of row `row`; `change` [cols] is scratch, so that the change is summed up first.
void AddRow(const AdapterMatrix& matrix, size_t row, std::span<float> change, float* sum) {
  std::ranges::fill(change, 0.0f);
  for (size_t r = 0; r < matrix.rank; ++r) {
    const float factor = matrix.up[row * matrix.rank + r];
    const float* down = matrix.down.data() + r * change.size();
    for (size_t i = 0; i < change.size(); ++i) change[i] += factor * down[i];
  }
  for (size_t i = 0; i < change.size(); ++i) sum[i] += change[i];
}

}  // namespace

MergedWeights::MergedWeights(std::unique_ptr<WeightsReader> base, std::vector<Adapter> adapters)
    : base_(std::move(base)), adapters_(std::move(adapters)), config_(base_->config()) {
  if (Changes(kEmbedding) || Changes(kHead)) config_.tie_word_embeddings = false;
}

Result<std::unique_ptr<WeightsReader>> MergedWeights::Make(std::unique_ptr<WeightsReader> base,
                                                           std::vector<Adapter> adapters) {
  for (const Adapter& adapter : adapters) QWEN25_RETURN_IF_ERROR(CheckAdapterFits(adapter, base->config()));
  return std::unique_ptr<WeightsReader>(new MergedWeights(std::move(base), std::move(adapters)));
}

bool MergedWeights::Changes(std::string_view parameter) const {
  return std::ranges::any_of(adapters_,
                             [&](const Adapter& adapter) { return adapter.Find(parameter) != nullptr; });
}

NamedParameter MergedWeights::InBase(const NamedParameter& named) const {
  NamedParameter in_base = named;
  if (named.name == kHead && base_->config().tie_word_embeddings) in_base.name = kEmbedding;
  return in_base;
}

Status MergedWeights::Check(std::span<const NamedParameter>) const {
  return base_->Check(Model::ParametersOf(base_->config()));
}

Status MergedWeights::ReadRows(const NamedParameter& named, size_t begin, size_t end, float* out) const {
  QWEN25_RETURN_IF_ERROR(base_->ReadRows(InBase(named), begin, end, out));
  const size_t cols = named.parameter.cols;
  std::vector<float> change(cols);
  bool changed = false;
  for (const Adapter& adapter : adapters_) {
    const AdapterMatrix* matrix = adapter.Find(named.name);
    if (matrix == nullptr) continue;
    changed = true;
    for (size_t row = begin; row < end; ++row) AddRow(*matrix, row, change, out + (row - begin) * cols);
  }
  if (!changed) return {};
  return CheckWeights({out, (end - begin) * cols}, fmt::format("{} with its adapters", named.name),
                      begin * cols);
}

WeightFormat MergedWeights::StoredFormat(const NamedParameter& named) const {
  return base_->StoredFormat(InBase(named));
}

Status MergedWeights::PackMatrix(ThreadPool& threads, WeightFormat format,
                                 std::span<const NamedParameter* const> parts, size_t rows, size_t cols,
                                 std::byte* memory) const {
  if (std::ranges::any_of(parts, [&](const NamedParameter* part) { return Changes(part->name); })) {
    return WeightsReader::PackMatrix(threads, format, parts, rows, cols, memory);
  }
  std::vector<NamedParameter> in_base;
  std::vector<const NamedParameter*> pointers;
  for (const NamedParameter* part : parts) in_base.push_back(InBase(*part));
  for (const NamedParameter& part : in_base) pointers.push_back(&part);
  return base_->PackMatrix(threads, format, pointers, rows, cols, memory);
}

void MergedWeights::Release(std::span<const NamedParameter* const> parts) const {
  for (const NamedParameter* part : parts) {
    const NamedParameter in_base = InBase(*part);
    const NamedParameter* const pointers[] = {&in_base};
    base_->Release(pointers);
  }
}

}  // namespace qwen25

// Weights with adapters added to them.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "model/adapter/adapter.h"
#include "model/weights_reader.h"

namespace qwen25 {

// Reads `base` and adds what `adapters` change. Matrices that they do not change are as in `base`, to the
// bit. If they change the embedding or the output projection of a model that ties the two, the result is not
// tied.
class MergedWeights : public WeightsReader {
 public:
  // Errors of CheckAdapterFits.
  static Result<std::unique_ptr<WeightsReader>> Make(std::unique_ptr<WeightsReader> base,
                                                     std::vector<Adapter> adapters);

  const ModelConfig& config() const override { return config_; }
  std::span<const std::string> remarks() const override { return base_->remarks(); }
  Status Check(std::span<const NamedParameter> parameters) const override;
  Status ReadRows(const NamedParameter& named, size_t begin, size_t end, float* out) const override;
  WeightFormat StoredFormat(const NamedParameter& named) const override;
  // Changed matrices are packed from their sums, and thus rounded to `format` once more.
  Status PackMatrix(ThreadPool& threads, WeightFormat format, std::span<const NamedParameter* const> parts,
                    size_t rows, size_t cols, std::byte* memory) const override;
  void Release(std::span<const NamedParameter* const> parts) const override;

 private:
  MergedWeights(std::unique_ptr<WeightsReader> base, std::vector<Adapter> adapters);
  bool Changes(std::string_view parameter) const;
  // The parameter of `base` that holds the weights of `named`.
  NamedParameter InBase(const NamedParameter& named) const;

  std::unique_ptr<WeightsReader> base_;
  std::vector<Adapter> adapters_;
  ModelConfig config_;
};

}  // namespace qwen25

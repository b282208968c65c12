// Reads the weights of a model on disk piece by piece, from a Hugging Face folder or a GGUF file.
#pragma once

#include <filesystem>
#include <span>
#include <string_view>

#include "base/status.h"
#include "base/thread_pool.h"
#include "model/config.h"
#include "model/model.h"
#include "quant/packed_weight.h"

namespace qwen25 {

class GgufWeights;

// All functions may be called from several threads at a time.
class WeightsReader {
 public:
  virtual ~WeightsReader() = default;

  // The configuration that fits the weights: if they hold a separate output projection, it is not tied,
  // whatever config.json says.
  virtual const ModelConfig& config() const = 0;
  // Remarks about the weights for the user, one sentence each.
  virtual std::span<const std::string> remarks() const { return {}; }
  // Checks that all `parameters` of the model are there with their shapes, and that no other tensor would
  // change what it computes. Errors name the tensor, with wanted and found.
  virtual Status Check(std::span<const NamedParameter> parameters) const = 0;
  // Fills `out` with rows [begin, end) of a parameter in float32; a vector is one row. A NaN, an infinity or
  // a number beyond kLargestWeight (weight_range.h) is an error that names the tensor.
  virtual Status ReadRows(const NamedParameter& named, size_t begin, size_t end, float* out) const = 0;
  // The packed format nearest to the one in which the matrix is stored.
  virtual WeightFormat StoredFormat(const NamedParameter& named) const = 0;
  // Packs the matrix [rows, cols] that consists of the rows of `parts`, back to back, into `memory`
  // (PackedWeightBytes). A number that `format` cannot hold is an error that names the tensor.
  virtual Status PackMatrix(ThreadPool& threads, WeightFormat format,
                            std::span<const NamedParameter* const> parts, size_t rows, size_t cols,
                            std::byte* memory) const;
  // The pages of these parameters may leave RAM; they can still be read again.
  virtual void Release(std::span<const NamedParameter* const>) const {}
  // Null for a folder.
  virtual const GgufWeights* gguf() const { return nullptr; }
};

// Whether `path` names a GGUF file: by its name, so that a missing one is reported as such. It ends in
// ".gguf", or it is an existing file that is named by its SHA-256 ("sha256-..."), as in Ollama's store.
bool IsGgufPath(const std::filesystem::path& path);

// The shape of a parameter in a file, and as text for messages: "[896]", "[151936, 896]".
std::vector<uint64_t> ShapeOf(const NamedParameter& named);
std::string ShapeText(std::span<const uint64_t> shape);

}  // namespace qwen25

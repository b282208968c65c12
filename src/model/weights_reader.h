// The weights of a model on disk, read piece by piece: a Hugging Face folder or a GGUF file.
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

  // As the weights are: an output projection of their own unties it, whatever config.json says.
  virtual const ModelConfig& config() const = 0;
  // What a user should know about them, a sentence each.
  virtual std::span<const std::string> remarks() const { return {}; }
  // Every parameter of the model that config() describes must be there in its shape, and nothing that would
  // change what it computes.
  virtual Status Check(std::span<const NamedParameter> parameters) const = 0;
  // Rows [begin, end) of a parameter in float32 (a vector is one row); a NaN, an infinity or a number beyond
  // kLargestWeight (weight_range.h) is an error.
  virtual Status ReadRows(const NamedParameter& named, size_t begin, size_t end, float* out) const = 0;
  // The format that keeps a matrix as it is stored, or nearest to it.
  virtual WeightFormat StoredFormat(const NamedParameter& named) const = 0;
  // Packs the matrix [rows, cols] that is made of the rows of `parts`, back to back. A number that `format`
  // cannot hold is an error that names the tensor.
  virtual Status PackMatrix(ThreadPool& threads, WeightFormat format,
                            std::span<const NamedParameter* const> parts, size_t rows, size_t cols,
                            std::byte* memory) const;
  // What was read of these parameters may leave memory. Reading them again works.
  virtual void Release(std::span<const NamedParameter* const>) const {}
  // Null where this is a folder.
  virtual const GgufWeights* gguf() const { return nullptr; }
};

// Whether `path` names a GGUF file: by its name, so that a missing one is reported as such.
bool IsGgufPath(const std::filesystem::path& path);

// The shape that a file has for a parameter, as text for messages: "[896]", "[151936, 896]".
std::vector<uint64_t> ShapeOf(const NamedParameter& named);
std::string ShapeText(std::span<const uint64_t> shape);

}  // namespace qwen25

// Models in GGUF files: configuration, tensor names and the order of rows.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "base/ggml_type.h"
#include "model/weights_reader.h"
#include "quant/gguf_packing.h"
#include "store/gguf.h"

namespace qwen25 {

// Reads the configuration from a file's metadata, for the architectures "qwen2", "qwen3" and "llama". The
// size of the vocabulary, whether the output is tied, rotary frequencies of Llama 3.1's kind and biases
// follow from the tensors. kUnsupported names a feature that this program does not run (experts, other rotary
// kinds, sizes that differ by layer). A llama model with biases of q, k and v is configured as the qwen2
// model that it is.
Result<ModelConfig> ModelConfigFromGguf(const GgufFiles& files, const std::string& origin);
// Writes the configuration to `metadata`: general.architecture and the architecture's keys. End tokens are
// not among them; the tokenizer's keys hold these.
void SetGgufConfig(const ModelConfig& config, GgufMetadata& metadata);
// The architecture that a model is written as: Mistral's is "llama".
std::string_view GgufArchitectureOf(const ModelConfig& config);

// A tensor that is no parameter: numbers [head_dim / 2] by which rotary frequencies are divided.
struct GgufRopeTensor {
  std::string name;
  std::vector<float> divisors;
};
// Those that are written beside the keys.
std::vector<GgufRopeTensor> GgufRopeTensors(const ModelConfig& config);

// Whether all numbers of a tensor are `value`; false for quantised types.
bool AllAre(const GgufTensor& tensor, float value);

// The tensor's name in GGUF: "model.layers.3.mlp.up_proj.weight" -> "blk.3.ffn_up.weight".
std::string GgufTensorName(const std::string& parameter_name);

// Whether rotary positions are applied to the output of a parameter: weights and biases of q and k.
bool TurnsByRotation(std::string_view parameter_name);

// The weights of one model. Rows of q and k, and the numbers of their biases, are returned in Hugging Face's
// order; files of architecture "llama" interleave the two halves of a head.
class GgufWeights : public WeightsReader {
 public:
  static Result<GgufWeights> Open(const std::filesystem::path& path);

  const ModelConfig& config() const override { return config_; }
  Status Check(std::span<const NamedParameter> parameters) const override;
  Status ReadRows(const NamedParameter& named, size_t begin, size_t end, float* out) const override;
  WeightFormat StoredFormat(const NamedParameter& named) const override;
  Status PackMatrix(ThreadPool& threads, WeightFormat format, std::span<const NamedParameter* const> parts,
                    size_t rows, size_t cols, std::byte* memory) const override;
  void Release(std::span<const NamedParameter* const> parts) const override;
  const GgufWeights* gguf() const override { return this; }

  const GgufFiles& files() const { return files_; }
  // Whether the file has the rows of this parameter in llama's order.
  bool IsInterleaved(const NamedParameter& named) const { return is_llama_ && TurnsByRotation(named.name); }

 private:
  GgufWeights(std::string origin, ModelConfig config, GgufFiles files, bool is_llama)
      : origin_(std::move(origin)),
        config_(std::move(config)),
        files_(std::move(files)),
        is_llama_(is_llama) {}
  GgufRow Row(const NamedParameter& named, size_t row) const;

  std::string origin_;
  ModelConfig config_;
  GgufFiles files_;
  bool is_llama_;  // the file's architecture
};

// Converts the row index of a q or k projection between Hugging Face's order and that of a file of
// architecture "llama". head_dim is even.
size_t GgufRowOf(size_t row, size_t head_dim);
size_t HuggingFaceRowOf(size_t row, size_t head_dim);

// The format in which a parameter is written: vectors in F32, matrices in `wanted`, the output projection
// (the embedding if tied) in at least 6 bits. If a row is not a whole number of blocks, the first of these
// that fits: Q5_0 for Q4_K, Q5_1 for Q5_K, otherwise Q8_0; then F16.
GgmlType GgufTypeFor(const NamedParameter& named, const ModelConfig& config, GgmlType wanted);

// Called as bytes are written, with the number done and the total.
using GgufProgress = std::function<void(uint64_t done, uint64_t total)>;

// Writes the weights of `source` to a GGUF file, atomically, a few rows in memory at a time. `metadata` has
// all keys except general.file_type and general.quantization_version, which are added. `fit_scales`: Q4_0
// by EncodeFittedQ4_0Row. Tensors that `source` stores in the same format are copied. kUnsupported for a
// model with head routing; an error names the tensor if a weight does not fit the format.
Status WriteGgufModel(const std::filesystem::path& path, const WeightsReader& source, GgmlType type,
                      bool fit_scales, GgufMetadata metadata, ThreadPool& threads,
                      const GgufProgress& progress);

}  // namespace qwen25

// Models in GGUF files: configuration, names of tensors, the order of rows.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "base/ggml_type.h"
#include "model/weights_reader.h"
#include "quant/gguf_packing.h"
#include "store/gguf.h"

namespace qwen25 {

// The configuration that a file's metadata states, for the architectures "qwen2" and "llama". Whether the
// output is tied and how large the vocabulary is follow from its tensors. kUnsupported names what this
// program does not run (experts, other rotary kinds, sizes that differ by layer).
Result<ModelConfig> ModelConfigFromGguf(const GgufFiles& files, const std::string& origin);
// The opposite: the architecture's keys, beginning with general.architecture. End tokens are the tokenizer's.
void SetGgufConfig(const ModelConfig& config, GgufMetadata& metadata);

// "model.layers.3.mlp.up_proj.weight" -> "blk.3.ffn_up.weight".
std::string GgufTensorName(const std::string& parameter_name);

// The weights of one model. Rows of q and k come in the order of Hugging Face: files of architecture "llama"
// have the two halves of a head interleaved.
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

 private:
  GgufWeights(std::string origin, ModelConfig config, GgufFiles files)
      : origin_(std::move(origin)), config_(std::move(config)), files_(std::move(files)) {}
  GgufRow Row(const NamedParameter& named, size_t row) const;

  std::string origin_;
  ModelConfig config_;
  GgufFiles files_;
};

// Where row `row` of a q or k projection (Hugging Face's order) stands in a file of architecture "llama", and
// back. head_dim is even.
size_t GgufRowOf(size_t row, size_t head_dim);
size_t HuggingFaceRowOf(size_t row, size_t head_dim);

// The format in which a parameter is written: vectors in F32, matrices in `wanted`, the output projection
// (the embedding where tied) never in fewer than 6 bits, and rows that are no whole number of blocks in the
// nearest format that holds them: Q5_0 for Q4_K, Q5_1 for Q5_K, Q8_0 for Q6_K, F16.
GgmlType GgufTypeFor(const NamedParameter& named, const ModelConfig& config, GgmlType wanted);

// Called as bytes are written, with their number and that of all.
using GgufProgress = std::function<void(uint64_t done, uint64_t total)>;

// Writes the weights of `source` into a file, atomically and never holding more of them than some rows.
// `metadata` has all keys; general.file_type and general.quantization_version are added. `search_scales`:
// Q4_0 by EncodeSearchedQ4_0Row. Tensors that `source` has in the wanted format already are copied.
Status WriteGgufModel(const std::filesystem::path& path, const WeightsReader& source, GgmlType type,
                      bool search_scales, GgufMetadata metadata, ThreadPool& threads,
                      const GgufProgress& progress);

}  // namespace qwen25

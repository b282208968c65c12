// The tensors of a sentence encoder on disk, under the names of Hugging Face folders.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/ggml_type.h"
#include "base/status.h"
#include "model/encoder_config.h"
#include "store/gguf.h"
#include "store/safetensors.h"

namespace qwen25 {

// A tensor of the mapped file. Those of folders have the GGUF types F32, F16 and BF16, so that both kinds of
// files are read by the same code.
struct StoredTensor {
  std::string name;  // in the file, for messages
  GgmlType type = GgmlType::kF32;
  std::vector<uint64_t> shape;  // slowest first
  std::span<const std::byte> bytes;
};

// A mapped folder or GGUF file.
class EncoderWeights {
 public:
  // `path` is a file *.gguf, otherwise a Hugging Face folder. Tensors are named "embeddings..." and
  // "encoder..." with or without something in front ("bert."); those of other parts (pooler, heads) are left
  // out, and a remark names what is not known. Errors name the file and the cause.
  static Result<EncoderWeights> Open(const std::filesystem::path& path);

  const EncoderConfig& config() const { return config_; }
  std::span<const std::string> remarks() const { return remarks_; }

  // The tensor "encoder.layer.0.output.dense.weight" of the given shape. kNotFound, or kInvalidArgument for
  // another shape, kUnsupported for a type that is not read.
  Result<const StoredTensor*> Get(const std::string& name, std::span<const uint64_t> shape) const;
  // kInvalidArgument for a tensor of the encoder that no Get has named: the configuration does not describe
  // these weights.
  Status CheckAllUsed() const;

 private:
  EncoderWeights(std::string origin, EncoderConfig config) : origin_(std::move(origin)), config_(config) {}
  Status ListFolder(CheckpointReader reader);
  void ListGguf(GgufFiles files);

  std::string origin_;
  EncoderConfig config_;
  std::optional<CheckpointReader> folder_;  // one of these two holds the mapping
  std::optional<GgufFiles> gguf_;
  struct Entry {
    StoredTensor tensor;
    mutable bool used = false;
  };
  std::map<std::string, Entry, std::less<>> tensors_;
  std::vector<std::string> remarks_;
};

}  // namespace qwen25

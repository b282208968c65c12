// The weights of a decoder.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/dtype.h"
#include "base/hash.h"
#include "base/status.h"
#include "base/thread_pool.h"
#include "model/config.h"
#include "model/parameter_set.h"
#include "ops/attention/rotary_table.h"
#include "ops/attention/sequence_kv.h"
#include "ops/parameter.h"
#include "store/safetensors.h"
#include "tensor/aligned_buffer.h"

namespace qwen25 {

struct DecoderLayer {
  Parameter input_layernorm;           // [1, hidden]
  Parameter qkv_proj;                  // [QkvDim, hidden]: rows of q, then k, then v
  Parameter qkv_bias;                  // [1, QkvDim]; data is null where the model has none
  Parameter head_gate;                 // [HeadGateRows, hidden], with head routing; float32 in any format
  Parameter o_proj;                    // [hidden, QueryDim]
  Parameter post_attention_layernorm;  // [1, hidden]
  Parameter gate_up_proj;              // [2 * intermediate, hidden]: rows of gate, then up
  Parameter down_proj;                 // [hidden, intermediate]
};

// Fills `out` [end - begin, cols] with rows [begin, end) of a parameter (a vector is one row) in float32.
// Called from several threads at a time.
using ParameterRows =
    std::function<Status(const NamedParameter& named, size_t begin, size_t end, float* out)>;

class WeightsReader;

// Weights in float32, in one block of memory; or, for inference alone, packed matrices and float32 vectors.
// Movable, not copyable; parameters keep their addresses when the model moves.
class Model {
 public:
  // Zero weights.
  explicit Model(const ModelConfig& config) : Model(config, Storage::kFloat) {}

  // Normal(0, initializer_range) matrices, o_proj and down_proj divided by sqrt(2 * layers) so that the
  // residual stream does not grow with depth (GPT-2), norms 1, biases 0. The same numbers for the same seed
  // on every machine.
  void Initialize(uint64_t seed);

  // A Hugging Face folder: config.json and model.safetensors, or shards with model.safetensors.index.json;
  // float32, float16, bfloat16 or float64. Or a GGUF file (gguf_model.h). Weights that are missing, that are
  // misshapen, that are not finite, or that belong to a decoder which would compute something else are errors
  // that name the tensor.
  static Result<Model> Load(const std::filesystem::path& path);
  // The same for inference: matrices are packed in `format`, or without one as they are stored (each in its
  // own format, where a GGUF file has several), while they are read and never held in float32 as a whole.
  // What training and Save need is not there. A weight that the format cannot hold is an error that names the
  // tensor. With `use_cache`, a packed_cache.h file that was made from the model as it is now is mapped
  // instead.
  static Result<Model> LoadPacked(const std::filesystem::path& path, std::optional<WeightFormat> format,
                                  ThreadPool& threads, bool use_cache = false);
  // Writes that file, atomically, for a model that LoadPacked loaded from there with `use_cache`.
  Status WritePackedCache(const std::filesystem::path& path, ThreadPool& threads) const;
  // The same from any source of rows.
  static Result<Model> Pack(const ModelConfig& config, WeightFormat format, ThreadPool& threads,
                            const ParameterRows& source);

  // The parameters of such a model, without memory: names, kinds and shapes.
  static std::vector<NamedParameter> ParametersOf(const ModelConfig& config);

  // Writes config.json and model.safetensors (kF32, kBF16 or kF16), each replaced atomically.
  Status Save(const std::filesystem::path& directory, DType dtype = DType::kF32) const;

  // Makes float32 copies of the matrices in the layout that decoding reads fastest, where they are not packed
  // yet. The results keep their bits; memory for the weights doubles. The weights must not change afterwards.
  void PackForInference(ThreadPool& threads);
  // Whether this is a model for inference alone.
  bool packed_only() const { return packed_only_; }
  // Bytes that a decode step reads: every matrix once, as packed.
  uint64_t packed_bytes() const { return num_packed_bytes_; }

  // Of a model ready for inference: changes when any weight as it is packed, a format or the configuration
  // does.
  Hash128 Fingerprint(ThreadPool& threads) const;

  const ModelConfig& config() const { return config_; }
  // What a user should know about how the model was loaded, a sentence each.
  const std::vector<std::string>& remarks() const { return remarks_; }
  // What config() says, and Save writes, beside the shape of the weights.
  void SetRouting(const RoutingPolicy& routing) { config_.routing = routing; }
  void SetEosTokenIds(std::vector<int32_t> ids) { config_.eos_token_ids = std::move(ids); }
  const RotaryTable& rotary() const { return rotary_; }
  const AttentionShape& attention_shape() const { return attention_shape_; }

  Parameter embed_tokens;  // [vocab, hidden]
  std::vector<DecoderLayer> layers;
  Parameter norm;     // [1, hidden]
  Parameter lm_head;  // [vocab, hidden]; the same memory as embed_tokens where tied

  // Every parameter under its name, and all weights end to end.
  const ParameterSet& parameter_set() const { return parameter_set_; }
  const std::vector<NamedParameter>& parameters() const { return parameter_set_.parameters(); }
  std::span<float> weights() const { return parameter_set_.weights(); }

 private:
  enum class Storage { kFloat, kPacked };
  Model(const ModelConfig& config, Storage storage);
  // A matrix that is packed as one, and the parameters that its rows are made of.
  struct FusedMatrix {
    Parameter* whole;
    std::vector<const NamedParameter*> parts;
  };
  std::vector<FusedMatrix> FusedMatrices();
  // The format of every fused matrix: `format`, or as `source` stores their parts.
  std::vector<WeightFormat> ChooseFormats(const WeightsReader& source, std::optional<WeightFormat> format);
  // Fills a model that has its parameters' places from `source`.
  Status PackFrom(const WeightsReader& source, std::span<const WeightFormat> formats, ThreadPool& threads);
  Status PackMatrices(const WeightsReader& source, std::span<const WeightFormat> formats,
                      ThreadPool& threads);
  // Bytes of all matrices, and, with their memory, where each one lies.
  size_t PlacePacked(std::span<const WeightFormat> formats, const std::byte* memory);
  Status MapPackedCache(std::span<const WeightFormat> formats, const std::filesystem::path& path,
                        ThreadPool& threads);

  ModelConfig config_;
  bool packed_only_ = false;
  ParameterSet parameter_set_;
  // Packed matrices lie in one of these.
  AlignedBuffer<std::byte> packed_;
  std::optional<SafetensorsReader> packed_file_;
  size_t num_packed_bytes_ = 0;
  std::vector<WeightFormat> packed_formats_;  // of the fused matrices
  std::string source_state_;                  // StateOfFiles of what was packed, for the cache
  std::vector<std::string> remarks_;
  RotaryTable rotary_;
  AttentionShape attention_shape_;
};

}  // namespace qwen25

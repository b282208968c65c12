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
  Parameter input_layernorm;  // [1, hidden]
  Parameter qkv_proj;         // [QkvDim, hidden]: rows of q, then k, then v
  Parameter qkv_bias;         // [1, QkvDim]; data is null if the model has none, as of the next three
  Parameter q_norm, k_norm;   // [1, head_dim] of every query head and every key head
  Parameter o_bias;           // [1, hidden]
  Parameter head_gate;        // [HeadGateRows, hidden], with head routing; always float32
  Parameter o_proj;           // [hidden, QueryDim]
  Parameter post_attention_layernorm;  // [1, hidden]
  Parameter gate_up_proj;              // [2 * intermediate, hidden]: rows of gate, then up
  Parameter down_proj;                 // [hidden, intermediate]
};

// Fills `out` [end - begin, cols] with rows [begin, end) of a parameter in float32; a vector is one row.
// Called from several threads at a time.
using ParameterRows =
    std::function<Status(const NamedParameter& named, size_t begin, size_t end, float* out)>;

class WeightsReader;

// Weights in float32, in one block of memory; or, for inference only, packed matrices and float32 vectors.
// Movable, not copyable; parameters keep their addresses when the model moves.
class Model {
 public:
  // All weights are zero. `config` must be valid.
  explicit Model(const ModelConfig& config) : Model(config, Storage::kFloat) {}

  // Sets matrices to draws from Normal(0, initializer_range), norms to 1 and biases to 0. o_proj and
  // down_proj are divided by sqrt(2 * layers), so that the residual stream does not grow with depth (GPT-2).
  // The same seed gives the same numbers on every machine.
  void Initialize(uint64_t seed);

  // Loads a Hugging Face folder (config.json and model.safetensors, or shards with
  // model.safetensors.index.json; float32, float16, bfloat16 or float64) or a GGUF file (gguf_model.h). An
  // error names a tensor that is missing, has the wrong shape, holds a number that is not finite, or would
  // change what a decoder computes.
  static Result<Model> Load(const std::filesystem::path& path);
  // The same from weights that are open, such as those with adapters merged into them.
  static Result<Model> Load(const WeightsReader& source);
  // Loads a model for inference only: it can be neither trained nor saved. Packs matrices while they are
  // read, in `format` or, without one, each in the format nearest to the stored one; they are never held in
  // float32 as a whole. With kInt4, the output projection is packed in kInt8. An error names a tensor with a
  // weight that the format cannot hold. With `use_cache`, maps a packed cache (packed_cache.h) made from the
  // model's current files instead.
  static Result<Model> LoadPacked(const std::filesystem::path& path, std::optional<WeightFormat> format,
                                  ThreadPool& threads, bool use_cache = false);
  static Result<Model> LoadPacked(const WeightsReader& source, std::optional<WeightFormat> format,
                                  ThreadPool& threads);
  // Writes the packed cache, atomically, for a model that LoadPacked loaded from `path` with `use_cache`.
  // kInvalidArgument if the model's files changed meanwhile.
  Status WritePackedCache(const std::filesystem::path& path, ThreadPool& threads) const;
  // Packs a model for inference only from a function that reads rows.
  static Result<Model> Pack(const ModelConfig& config, WeightFormat format, ThreadPool& threads,
                            const ParameterRows& source);

  // The parameters of a model, without memory: names, kinds and shapes.
  static std::vector<NamedParameter> ParametersOf(const ModelConfig& config);

  // Writes config.json and model.safetensors (kF32, kBF16 or kF16), each replaced atomically. An error names
  // a weight that float16 cannot hold.
  Status Save(const std::filesystem::path& directory, DType dtype = DType::kF32) const;

  // Unless the model is packed, adds float32 copies of the matrices in the layout that decoding reads
  // fastest. Results stay bit-identical; memory for the weights doubles. The weights must not change
  // afterwards.
  void PackForInference(ThreadPool& threads);
  // Whether this model is for inference only.
  bool packed_only() const { return packed_only_; }
  // Bytes of all packed matrices, which a decode step reads once; 0 before packing.
  uint64_t packed_bytes() const { return num_packed_bytes_; }

  // A hash of all weights as packed, the formats and the configuration. The model must be packed.
  Hash128 Fingerprint(ThreadPool& threads) const;

  const ModelConfig& config() const { return config_; }
  // Remarks about loading for the user, one sentence each.
  const std::vector<std::string>& remarks() const { return remarks_; }
  // Change config(), which Save writes; neither affects the weights.
  void SetRouting(const RoutingPolicy& routing) { config_.routing = routing; }
  void SetEosTokenIds(std::vector<int32_t> ids) { config_.eos_token_ids = std::move(ids); }
  const RotaryTable& rotary() const { return rotary_; }
  const AttentionShape& attention_shape() const { return attention_shape_; }

  Parameter embed_tokens;  // [vocab, hidden]
  std::vector<DecoderLayer> layers;
  Parameter norm;     // [1, hidden]
  Parameter lm_head;  // [vocab, hidden]; the memory of embed_tokens if tied

  // Every parameter under its name, and all weights end to end.
  const ParameterSet& parameter_set() const { return parameter_set_; }
  const std::vector<NamedParameter>& parameters() const { return parameter_set_.parameters(); }
  std::span<float> weights() const { return parameter_set_.weights(); }

 private:
  enum class Storage { kFloat, kPacked };
  Model(const ModelConfig& config, Storage storage);
  // A matrix that is packed as a whole, and the parameters that make up its rows.
  struct FusedMatrix {
    Parameter* whole;
    std::vector<const NamedParameter*> parts;
  };
  std::vector<FusedMatrix> FusedMatrices();
  // The format of every fused matrix: `format`, or the one that holds its parts as `source` stores them.
  std::vector<WeightFormat> ChooseFormats(const WeightsReader& source, std::optional<WeightFormat> format);
  // Fills a model made with Storage::kPacked from `source`.
  Status PackFrom(const WeightsReader& source, std::span<const WeightFormat> formats, ThreadPool& threads);
  Status PackMatrices(const WeightsReader& source, std::span<const WeightFormat> formats,
                      ThreadPool& threads);
  // Returns the bytes of all packed matrices and, with `memory`, sets each matrix's place in it.
  size_t PlacePacked(std::span<const WeightFormat> formats, const std::byte* memory);
  Status MapPackedCache(std::span<const WeightFormat> formats, const std::filesystem::path& path,
                        ThreadPool& threads);

  ModelConfig config_;
  bool packed_only_ = false;
  ParameterSet parameter_set_;
  // Packed matrices lie in one of these two.
  AlignedBuffer<std::byte> packed_;
  std::optional<SafetensorsReader> packed_file_;
  size_t num_packed_bytes_ = 0;
  std::vector<WeightFormat> packed_formats_;  // of the fused matrices
  std::string source_state_;                  // StateOfFiles when the model was loaded, for the cache
  std::vector<std::string> remarks_;
  RotaryTable rotary_;
  AttentionShape attention_shape_;
};

}  // namespace qwen25

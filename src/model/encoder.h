// A sentence encoder of the BERT architecture: its weights and its forward pass. It runs for inference only;
// it is neither trained nor saved here.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/thread_pool.h"
#include "model/encoder_config.h"
#include "model/encoder_weights.h"
#include "ops/attention/rotary_table.h"
#include "ops/attention/sequence_kv.h"
#include "ops/execution.h"
#include "ops/parameter.h"
#include "ops/token_batch.h"
#include "quant/packed_weight.h"
#include "tensor/aligned_buffer.h"

namespace qwen25 {

// One layer, with y = norm(x + attention(x)) and norm(y + Wdown * gelu(Wup * y)); every product has a bias.
// Letters: D = width, F = feed-forward width. Matrices are packed, vectors float32.
struct EncoderLayer {
  Parameter qkv, qkv_bias;           // [3 D, D]: rows of q, then k, then v; [1, 3 D]
  Parameter output, output_bias;     // [D, D] after attention, [1, D]
  Parameter norm_weight, norm_bias;  // [1, D] after attention
  Parameter up, up_bias;             // [F, D], [1, F]
  Parameter down, down_bias;         // [D, F], [1, D]
  Parameter last_weight, last_bias;  // [1, D] of the norm at the end
};

class EncoderModel {
 public:
  // Loads a Hugging Face folder or a GGUF file (EncoderWeights). Packs matrices in `format` or, without one,
  // each in the format nearest to the stored one; the table of words stays as it is stored. An error names a
  // tensor that is missing, has the wrong shape, or holds a number that is not finite or that the format
  // cannot hold.
  static Result<EncoderModel> Load(const std::filesystem::path& path, std::optional<WeightFormat> format,
                                   ThreadPool& threads);

  const EncoderConfig& config() const { return config_; }
  // Remarks about loading for the user, one sentence each.
  const std::vector<std::string>& remarks() const { return remarks_; }
  // A hash of everything that affects the hidden states.
  uint64_t Fingerprint() const;
  // Bytes of all matrices, which a pass reads once.
  size_t packed_bytes() const { return packed_.size(); }

  // The final hidden states [T, D] of several texts. Every token attends to its whole text; a text has at
  // most max_position_embeddings tokens, and positions begin at 0. Ids must be below vocab_size.
  Tensor Forward(Execution& execution, const TokenBatch& batch) const;

 private:
  explicit EncoderModel(const EncoderConfig& config);
  class Builder;
  Tensor Embed(Execution& execution, const TokenBatch& batch) const;

  EncoderConfig config_;
  std::vector<std::string> remarks_;
  RotaryTable rotary_;  // turns nothing
  AttentionShape attention_;
  // The words' rows as the file has them: a text needs few of them, and they are not part of a product.
  GgmlType word_type_ = GgmlType::kF32;
  AlignedBuffer<std::byte> words_;  // [vocab_size] rows
  AlignedBuffer<float> positions_;  // [max_position_embeddings, D], with the row of segment 0 added
  Parameter embedding_norm_, embedding_norm_bias_;
  std::vector<EncoderLayer> layers_;
  AlignedBuffer<std::byte> packed_;  // all matrices
  AlignedBuffer<float> vectors_;     // all biases and norms
};

}  // namespace qwen25

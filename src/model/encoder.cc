#include "model/encoder.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/hash.h"
#include "ops/attention/self_attention.h"
#include "ops/encoder_ops.h"
#include "ops/ops.h"
#include "ops/row_tasks.h"
#include "quant/gguf_blocks.h"
#include "quant/gguf_packing.h"

namespace qwen25 {
namespace {

Status Naming(const Status& status, const StoredTensor& tensor) {
  if (status.ok()) return status;
  return Status(status.code(), fmt::format("{}: {}", tensor.name, status.message()));
}

const std::byte* RowOf(const StoredTensor& tensor, size_t row, size_t cols) {
  return tensor.bytes.data() + row * GgmlRowBytes(tensor.type, cols);
}

// A matrix to be packed, from tensors whose rows follow each other.
struct Plan {
  Parameter* matrix;
  std::vector<const StoredTensor*> parts;
  WeightFormat format;
};

}  // namespace

EncoderModel::EncoderModel(const EncoderConfig& config)
    : config_(config),
      rotary_(RotaryTable::WithoutRotation(config.HeadDim(), config.max_position_embeddings)),
      attention_{.num_heads = config.num_attention_heads,
                 .num_kv_heads = config.num_attention_heads,
                 .head_dim = config.HeadDim(),
                 .scale = 1 / std::sqrt(static_cast<float>(config.HeadDim()))},
      layers_(config.num_hidden_layers) {}

// Fills a model from a file.
class EncoderModel::Builder {
 public:
  Builder(EncoderModel& model, const EncoderWeights& weights, std::optional<WeightFormat> format)
      : model_(model), weights_(weights), format_(format), width_(model.config_.hidden_size) {}

  Status Run(ThreadPool& threads) {
    QWEN25_RETURN_IF_ERROR(ReadTables());
    const size_t ffn = model_.config_.intermediate_size;
    // Each layer has 6 vectors of D numbers, q, k and v's biases, and one of F.
    model_.vectors_ = AlignedBuffer<float>(2 * width_ + model_.layers_.size() * (9 * width_ + ffn));
    QWEN25_RETURN_IF_ERROR(ReadVector("embeddings.LayerNorm.weight", width_, model_.embedding_norm_));
    QWEN25_RETURN_IF_ERROR(ReadVector("embeddings.LayerNorm.bias", width_, model_.embedding_norm_bias_));
    for (size_t i = 0; i < model_.layers_.size(); ++i) QWEN25_RETURN_IF_ERROR(ReadLayer(i));
    QWEN25_RETURN_IF_ERROR(weights_.CheckAllUsed());
    return PackAll(threads);
  }

 private:
  Result<const StoredTensor*> Get(const std::string& name, size_t rows, size_t cols) const {
    const uint64_t shape[] = {rows, cols};
    return weights_.Get(name, shape);
  }

  Status ReadTables() {
    const EncoderConfig& config = model_.config_;
    QWEN25_TRY(const StoredTensor* words,
               Get("embeddings.word_embeddings.weight", config.vocab_size, width_));
    std::vector<float> row(width_);
    for (size_t i = 0; i < config.vocab_size; ++i) {
      QWEN25_RETURN_IF_ERROR(
          Naming(DecodeFiniteGgufRow({words->type, RowOf(*words, i, width_)}, width_, row.data()), *words));
    }
    model_.word_type_ = words->type;
    model_.words_ = AlignedBuffer<std::byte>(words->bytes.size());
    std::memcpy(model_.words_.data(), words->bytes.data(), words->bytes.size());

    const size_t positions = config.max_position_embeddings;
    QWEN25_TRY(const StoredTensor* table, Get("embeddings.position_embeddings.weight", positions, width_));
    std::vector<float> segment(width_, 0.0f);
    if (config.type_vocab_size > 0) {
      QWEN25_TRY(const StoredTensor* segments,
                 Get("embeddings.token_type_embeddings.weight", config.type_vocab_size, width_));
      QWEN25_RETURN_IF_ERROR(Naming(
          DecodeFiniteGgufRow({segments->type, segments->bytes.data()}, width_, segment.data()), *segments));
    }
    model_.positions_ = AlignedBuffer<float>(positions * width_);
    for (size_t i = 0; i < positions; ++i) {
      float* out = model_.positions_.data() + i * width_;
      QWEN25_RETURN_IF_ERROR(
          Naming(DecodeFiniteGgufRow({table->type, RowOf(*table, i, width_)}, width_, out), *table));
      for (size_t d = 0; d < width_; ++d) out[d] += segment[d];
    }
    return {};
  }

  Parameter TakeVector(size_t count) {
    Parameter vector = {.data = model_.vectors_.data() + num_floats_, .rows = 1, .cols = count};
    num_floats_ += count;
    QWEN25_CHECK(num_floats_ <= model_.vectors_.size());
    return vector;
  }
  Status FillVector(const std::string& name, size_t count, float* out) const {
    const uint64_t shape[] = {count};
    QWEN25_TRY(const StoredTensor* tensor, weights_.Get(name, shape));
    return Naming(DecodeFiniteGgufRow({tensor->type, tensor->bytes.data()}, count, out), *tensor);
  }
  Status ReadVector(const std::string& name, size_t count, Parameter& out) {
    out = TakeVector(count);
    return FillVector(name, count, out.data);
  }
  Status AddMatrix(const std::vector<std::string>& names, size_t rows, size_t cols, Parameter& out) {
    out = {.rows = rows * names.size(), .cols = cols};
    Plan plan = {&out, {}, WeightFormat::kFloat32};
    for (const std::string& name : names) {
      QWEN25_TRY(const StoredTensor* tensor, Get(name, rows, cols));
      const WeightFormat stored = StoredFormatOf(tensor->type);
      plan.format = plan.parts.empty() ? stored : CommonFormat(plan.format, stored);
      plan.parts.push_back(tensor);
    }
    if (format_) plan.format = *format_;
    num_bytes_ += PackedWeightBytes(plan.format, out.rows, out.cols);
    plans_.push_back(std::move(plan));
    return {};
  }
  // A matrix and its bias.
  Status AddProduct(const std::string& name, size_t rows, size_t cols, Parameter& matrix, Parameter& bias) {
    QWEN25_RETURN_IF_ERROR(AddMatrix({name + ".weight"}, rows, cols, matrix));
    return ReadVector(name + ".bias", rows, bias);
  }
  Status AddNorm(const std::string& name, Parameter& weight, Parameter& bias) {
    QWEN25_RETURN_IF_ERROR(ReadVector(name + ".weight", width_, weight));
    return ReadVector(name + ".bias", width_, bias);
  }

  Status ReadLayer(size_t index) {
    EncoderLayer& layer = model_.layers_[index];
    const std::string prefix = fmt::format("encoder.layer.{}.", index);
    const size_t ffn = model_.config_.intermediate_size;
    std::vector<std::string> matrices;
    layer.qkv_bias = TakeVector(3 * width_);
    float* bias = layer.qkv_bias.data;
    for (const char* part : {"query", "key", "value"}) {
      const std::string name = fmt::format("{}attention.self.{}", prefix, part);
      matrices.push_back(name + ".weight");
      QWEN25_RETURN_IF_ERROR(FillVector(name + ".bias", width_, bias));
      bias += width_;
    }
    QWEN25_RETURN_IF_ERROR(AddMatrix(matrices, width_, width_, layer.qkv));
    QWEN25_RETURN_IF_ERROR(
        AddProduct(prefix + "attention.output.dense", width_, width_, layer.output, layer.output_bias));
    QWEN25_RETURN_IF_ERROR(
        AddNorm(prefix + "attention.output.LayerNorm", layer.norm_weight, layer.norm_bias));
    QWEN25_RETURN_IF_ERROR(AddProduct(prefix + "intermediate.dense", ffn, width_, layer.up, layer.up_bias));
    QWEN25_RETURN_IF_ERROR(AddProduct(prefix + "output.dense", width_, ffn, layer.down, layer.down_bias));
    return AddNorm(prefix + "output.LayerNorm", layer.last_weight, layer.last_bias);
  }

  Status PackAll(ThreadPool& threads) {
    model_.packed_ = AlignedBuffer<std::byte>(num_bytes_);
    std::byte* next = model_.packed_.data();
    for (const Plan& plan : plans_) {
      const size_t cols = plan.matrix->cols, rows_of_part = plan.matrix->rows / plan.parts.size();
      const auto row_of = [&](size_t row) -> GgufRow {
        const StoredTensor& part = *plan.parts[row / rows_of_part];
        return {part.type, RowOf(part, row % rows_of_part, cols)};
      };
      QWEN25_RETURN_IF_ERROR(Naming(
          PackGgufWeight(threads, plan.format, plan.matrix->rows, cols, row_of, next), *plan.parts[0]));
      plan.matrix->packed = {plan.format, next};
      next += PackedWeightBytes(plan.format, plan.matrix->rows, cols);
    }
    return {};
  }

  EncoderModel& model_;
  const EncoderWeights& weights_;
  const std::optional<WeightFormat> format_;
  const size_t width_;
  size_t num_floats_ = 0, num_bytes_ = 0;
  std::vector<Plan> plans_;
};

Result<EncoderModel> EncoderModel::Load(const std::filesystem::path& path, std::optional<WeightFormat> format,
                                        ThreadPool& threads) {
  QWEN25_TRY(const EncoderWeights weights, EncoderWeights::Open(path));
  EncoderModel model(weights.config());
  model.remarks_.assign(weights.remarks().begin(), weights.remarks().end());
  const Status status = Builder(model, weights, format).Run(threads);
  if (status.ok()) return model;
  // Messages of the packing do not name the file.
  if (status.message().starts_with(path.string())) return status;
  return Status(status.code(), fmt::format("{}: {}", path.string(), status.message()));
}

uint64_t EncoderModel::Fingerprint() const {
  std::string settings = config_.ToString();
  for (const EncoderLayer& layer : layers_) {
    for (const Parameter* matrix : {&layer.qkv, &layer.output, &layer.up, &layer.down}) {
      settings += WeightFormatName(matrix->packed.format);
    }
  }
  settings += GgmlTypeName(word_type_);
  uint64_t hash = Hash64(std::as_bytes(std::span(settings)));
  hash = Hash64({words_.data(), words_.size()}, hash);
  hash = Hash64({packed_.data(), packed_.size()}, hash);
  hash = Hash64(std::as_bytes(std::span(positions_.data(), positions_.size())), hash);
  return Hash64(std::as_bytes(std::span(vectors_.data(), vectors_.size())), hash);
}

Tensor EncoderModel::Embed(Execution& execution, const TokenBatch& batch) const {
  const size_t width = config_.hidden_size, row_bytes = GgmlRowBytes(word_type_, width);
  Tensor x = execution.tensors.New(batch.num_tokens(), width);
  ForRows(execution.threads, batch.num_tokens(), [&](size_t begin, size_t end, size_t) {
    for (size_t t = begin; t < end; ++t) {
      const auto token = static_cast<size_t>(batch.tokens[t]),
                 place = static_cast<size_t>(batch.positions[t]);
      QWEN25_CHECK(token < config_.vocab_size && place < config_.max_position_embeddings);
      float* row = x.data() + t * width;
      const float* position = positions_.data() + place * width;
      DecodeGgufRow(word_type_, words_.data() + token * row_bytes, width, row);
      for (size_t d = 0; d < width; ++d) row[d] += position[d];
    }
  });
  LayerNormInPlace(execution, x, embedding_norm_, embedding_norm_bias_, config_.layer_norm_eps);
  return x;
}

Tensor EncoderModel::Forward(Execution& execution, const TokenBatch& batch) const {
  const float eps = config_.layer_norm_eps;
  Tensor x = Embed(execution, batch);
  for (const EncoderLayer& layer : layers_) {
    const Tensor attended = SelfAttention(execution, {.shape = attention_,
                                                      .rotary = rotary_,
                                                      .qkv = Linear(execution, x, layer.qkv, &layer.qkv_bias),
                                                      .batch = batch,
                                                      .mask = AttentionMask::kBidirectional});
    const Tensor middle = Linear(execution, attended, layer.output, &layer.output_bias, &x);
    LayerNormInPlace(execution, middle, layer.norm_weight, layer.norm_bias, eps);
    const Tensor wide = Linear(execution, middle, layer.up, &layer.up_bias);
    GeluInPlace(execution, wide, config_.activation);
    x = Linear(execution, wide, layer.down, &layer.down_bias, &middle);
    LayerNormInPlace(execution, x, layer.last_weight, layer.last_bias, eps);
  }
  return x;
}

}  // namespace qwen25

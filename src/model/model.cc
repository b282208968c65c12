#include "model/model.h"

#include <algorithm>
#include <cmath>

#include "base/rng.h"
#include "model/weights_reader.h"
#include "quant/gguf_packing.h"

namespace qwen25 {
namespace {

// Parameters start at multiples of a cache line.
constexpr size_t kAlignFloats = 16;
size_t RoundUp(size_t count) {
  return (count + kAlignFloats - 1) / kAlignFloats * kAlignFloats;
}

// Places parameters in one block of memory. Used twice: to add up the size, then to hand out pointers.
class Layout {
 public:
  // Without `matrices`, matrices get no memory: their data stays null.
  Layout(float* weights, bool matrices) : weights_(weights), matrices_(matrices) {}

  Parameter Take(size_t rows, size_t cols) {
    Parameter parameter = {.rows = rows, .cols = cols};
    if (rows > 1 && !matrices_) return parameter;
    if (weights_ != nullptr) parameter.data = weights_ + used_;
    used_ += RoundUp(rows * cols);
    return parameter;
  }
  size_t used() const { return used_; }

 private:
  float* weights_;
  bool matrices_;
  size_t used_ = 0;
};

// Rows [begin, begin + rows) of a fused matrix, or columns of a fused bias.
Parameter Slice(const Parameter& whole, size_t begin, size_t count) {
  const bool vector = whole.rows == 1;
  const size_t offset = vector ? begin : begin * whole.cols;
  return {.data = whole.data == nullptr ? nullptr : whole.data + offset,
          .rows = vector ? 1 : count,
          .cols = vector ? count : whole.cols};
}

struct Parts {
  Parameter embed_tokens, norm, lm_head;
  std::vector<DecoderLayer> layers;
};

Parts TakeAll(const ModelConfig& config, Layout& layout) {
  const size_t hidden = config.hidden_size;
  Parts parts;
  parts.embed_tokens = layout.Take(config.vocab_size, hidden);
  for (uint32_t i = 0; i < config.num_hidden_layers; ++i) {
    DecoderLayer layer;
    layer.input_layernorm = layout.Take(1, hidden);
    layer.qkv_proj = layout.Take(config.QkvDim(), hidden);
    if (config.attention_bias) layer.qkv_bias = layout.Take(1, config.QkvDim());
    if (config.has_head_norms()) {
      layer.q_norm = layout.Take(1, config.head_dim);
      layer.k_norm = layout.Take(1, config.head_dim);
    }
    if (config.head_routing) layer.head_gate = layout.Take(HeadGateRows(config.num_key_value_heads), hidden);
    layer.o_proj = layout.Take(hidden, config.QueryDim());
    if (config.attention_output_bias) layer.o_bias = layout.Take(1, hidden);
    layer.post_attention_layernorm = layout.Take(1, hidden);
    layer.gate_up_proj = layout.Take(size_t{2} * config.intermediate_size, hidden);
    layer.down_proj = layout.Take(hidden, config.intermediate_size);
    parts.layers.push_back(layer);
  }
  parts.norm = layout.Take(1, hidden);
  parts.lm_head = config.tie_word_embeddings ? parts.embed_tokens : layout.Take(config.vocab_size, hidden);
  return parts;
}

std::vector<NamedParameter> NameAll(const ModelConfig& config, const Parts& parts) {
  std::vector<NamedParameter> named;
  const auto add = [&](std::string name, ParameterKind kind, const Parameter& parameter) {
    named.push_back({std::move(name), kind, parameter, kind == ParameterKind::kVector});
  };
  const size_t q = config.QueryDim(), kv = config.KeyValueDim(), ffn = config.intermediate_size;
  add("model.embed_tokens.weight", ParameterKind::kEmbedding, parts.embed_tokens);
  for (size_t i = 0; i < parts.layers.size(); ++i) {
    const DecoderLayer& layer = parts.layers[i];
    const std::string prefix = fmt::format("model.layers.{}.", i);
    const auto matrix = [&](const char* name, const Parameter& parameter) {
      add(prefix + name, ParameterKind::kMatrix, parameter);
    };
    const auto vector = [&](const char* name, const Parameter& parameter) {
      add(prefix + name, ParameterKind::kVector, parameter);
    };
    vector("input_layernorm.weight", layer.input_layernorm);
    matrix("self_attn.q_proj.weight", Slice(layer.qkv_proj, 0, q));
    matrix("self_attn.k_proj.weight", Slice(layer.qkv_proj, q, kv));
    matrix("self_attn.v_proj.weight", Slice(layer.qkv_proj, q + kv, kv));
    if (config.attention_bias) {
      vector("self_attn.q_proj.bias", Slice(layer.qkv_bias, 0, q));
      vector("self_attn.k_proj.bias", Slice(layer.qkv_bias, q, kv));
      vector("self_attn.v_proj.bias", Slice(layer.qkv_bias, q + kv, kv));
    }
    if (config.has_head_norms()) {
      vector("self_attn.q_norm.weight", layer.q_norm);
      vector("self_attn.k_norm.weight", layer.k_norm);
    }
    // Not orthogonalised (Muon): its rows compete with each other.
    if (config.head_routing) {
      add(prefix + "self_attn.head_gate.weight", ParameterKind::kEmbedding, layer.head_gate);
    }
    matrix("self_attn.o_proj.weight", layer.o_proj);
    if (config.attention_output_bias) vector("self_attn.o_proj.bias", layer.o_bias);
    vector("post_attention_layernorm.weight", layer.post_attention_layernorm);
    matrix("mlp.gate_proj.weight", Slice(layer.gate_up_proj, 0, ffn));
    matrix("mlp.up_proj.weight", Slice(layer.gate_up_proj, ffn, ffn));
    matrix("mlp.down_proj.weight", layer.down_proj);
  }
  add("model.norm.weight", ParameterKind::kVector, parts.norm);
  if (!config.tie_word_embeddings) add("lm_head.weight", ParameterKind::kEmbedding, parts.lm_head);
  return named;
}

}  // namespace

Model::Model(const ModelConfig& config, Storage storage)
    : config_(config),
      packed_only_(storage == Storage::kPacked),
      rotary_(ComputeRotaryFrequencies(config).inverse_frequencies, config.MaxContext()) {
  QWEN25_CHECK(config.Validate("config").ok());
  Layout sizes(nullptr, !packed_only_);
  TakeAll(config, sizes);
  parameter_set_ = ParameterSet(sizes.used());
  Layout layout(weights().data(), !packed_only_);
  Parts parts = TakeAll(config, layout);
  parameter_set_.SetParameters(NameAll(config, parts));
  embed_tokens = parts.embed_tokens;
  layers = std::move(parts.layers);
  norm = parts.norm;
  lm_head = parts.lm_head;
  attention_shape_ = {.num_heads = config.num_attention_heads,
                      .num_kv_heads = config.num_key_value_heads,
                      .head_dim = config.head_dim,
                      .scale = static_cast<float>(ComputeRotaryFrequencies(config).score_factor /
                                                  std::sqrt(static_cast<double>(config.head_dim)))};
}

void Model::Initialize(uint64_t seed) {
  const double residual_scale = 1.0 / std::sqrt(2.0 * config_.num_hidden_layers);
  for (size_t i = 0; i < parameters().size(); ++i) {
    const NamedParameter& named = parameters()[i];
    float* data = named.parameter.data;
    const size_t count = named.parameter.rows * named.parameter.cols;
    if (named.kind == ParameterKind::kVector) {
      std::fill_n(data, count, named.name.ends_with("norm.weight") ? 1.0f : 0.0f);
      continue;
    }
    const bool into_residual =
        named.name.ends_with("self_attn.o_proj.weight") || named.name.ends_with("mlp.down_proj.weight");
    const double deviation = config_.initializer_range * (into_residual ? residual_scale : 1.0);
    Rng rng(seed, i);
    for (size_t j = 0; j < count; ++j) data[j] = static_cast<float>(deviation * rng.Normal());
  }
}

std::vector<Model::FusedMatrix> Model::FusedMatrices() {
  std::vector<FusedMatrix> matrices;
  // parameters() lists the parts of a fused matrix back to back, in the order of its rows.
  auto next = parameters().begin();
  const auto take = [&](Parameter& whole) {
    FusedMatrix matrix = {&whole, {}};
    for (size_t rows = 0; rows < whole.rows; ++next) {
      if (next->is_vector) continue;
      matrix.parts.push_back(&*next);
      rows += next->parameter.rows;
    }
    matrices.push_back(std::move(matrix));
  };
  take(embed_tokens);
  for (DecoderLayer& layer : layers) {
    take(layer.qkv_proj);
    if (config_.head_routing) take(layer.head_gate);
    for (Parameter* whole : {&layer.o_proj, &layer.gate_up_proj, &layer.down_proj}) take(*whole);
  }
  if (!config_.tie_word_embeddings) take(lm_head);
  return matrices;
}

std::vector<NamedParameter> Model::ParametersOf(const ModelConfig& config) {
  Layout sizes(nullptr, true);
  return NameAll(config, TakeAll(config, sizes));
}

size_t Model::PlacePacked(std::span<const WeightFormat> formats, const std::byte* memory) {
  size_t used = 0;
  const std::vector<FusedMatrix> matrices = FusedMatrices();
  for (size_t i = 0; i < matrices.size(); ++i) {
    Parameter& whole = *matrices[i].whole;
    if (memory != nullptr) whole.packed = {formats[i], memory + used};
    used += PackedWeightBytes(formats[i], whole.rows, whole.cols);
  }
  if (config_.tie_word_embeddings) lm_head.packed = embed_tokens.packed;
  return used;
}

std::vector<WeightFormat> Model::ChooseFormats(const WeightsReader& source,
                                               std::optional<WeightFormat> format) {
  std::vector<WeightFormat> formats;
  const Parameter* output = config_.tie_word_embeddings ? &embed_tokens : &lm_head;
  for (const FusedMatrix& matrix : FusedMatrices()) {
    WeightFormat common = format ? *format : source.StoredFormat(*matrix.parts[0]);
    for (const NamedParameter* part : matrix.parts) {
      if (!format) common = CommonFormat(common, source.StoredFormat(*part));
    }
    // No later layer averages errors of the logits: half of the loss from 4 bits comes from here
    // (docs/benchmarks.md). GGUF's 4-bit files also keep 6 to 8 bits here.
    if (format == WeightFormat::kInt4 && matrix.whole == output) common = WeightFormat::kInt8;
    // Small differences decide a gate, and float32 costs little: the matrix is small.
    if (matrix.parts[0]->name.ends_with("head_gate.weight")) common = WeightFormat::kFloat32;
    formats.push_back(common);
  }
  return formats;
}

Status Model::PackMatrices(const WeightsReader& source, std::span<const WeightFormat> formats,
                           ThreadPool& threads) {
  packed_formats_.assign(formats.begin(), formats.end());
  num_packed_bytes_ = PlacePacked(formats, nullptr);
  packed_ = AlignedBuffer<std::byte>(num_packed_bytes_);
  PlacePacked(formats, packed_.data());
  std::byte* next = packed_.data();
  const std::vector<FusedMatrix> matrices = FusedMatrices();
  for (size_t i = 0; i < matrices.size(); ++i) {
    const Parameter& whole = *matrices[i].whole;
    QWEN25_RETURN_IF_ERROR(
        source.PackMatrix(threads, formats[i], matrices[i].parts, whole.rows, whole.cols, next));
    source.Release(matrices[i].parts);
    next += PackedWeightBytes(formats[i], whole.rows, whole.cols);
  }
  return {};
}

Status Model::PackFrom(const WeightsReader& source, std::span<const WeightFormat> formats,
                       ThreadPool& threads) {
  for (const NamedParameter& named : parameters()) {
    if (named.is_vector) QWEN25_RETURN_IF_ERROR(source.ReadRows(named, 0, 1, named.parameter.data));
  }
  return PackMatrices(source, formats, threads);
}

namespace {

// Reads weights from a function.
class RowsReader : public WeightsReader {
 public:
  RowsReader(const ModelConfig& config, const ParameterRows& rows) : config_(config), rows_(rows) {}

  const ModelConfig& config() const override { return config_; }
  Status Check(std::span<const NamedParameter>) const override { return {}; }
  Status ReadRows(const NamedParameter& named, size_t begin, size_t end, float* out) const override {
    return rows_(named, begin, end, out);
  }
  WeightFormat StoredFormat(const NamedParameter&) const override { return WeightFormat::kFloat32; }

 private:
  const ModelConfig& config_;
  const ParameterRows& rows_;
};

}  // namespace

void Model::PackForInference(ThreadPool& threads) {
  if (num_packed_bytes_ != 0) return;
  const ParameterRows copy = [](const NamedParameter& named, size_t begin, size_t end, float* out) -> Status {
    const size_t cols = named.parameter.cols;
    std::copy(named.parameter.data + begin * cols, named.parameter.data + end * cols, out);
    return {};
  };
  const RowsReader source(config_, copy);
  const Status status = PackMatrices(source, ChooseFormats(source, WeightFormat::kFloat32), threads);
  QWEN25_CHECK(status.ok());
}

Hash128 Model::Fingerprint(ThreadPool& threads) const {
  QWEN25_CHECK(num_packed_bytes_ > 0);
  constexpr size_t kPiece = size_t{1} << 20;
  // The packed matrices lie back to back, the embedding first.
  const std::span<const std::byte> packed(embed_tokens.packed.data, num_packed_bytes_);
  const size_t num_pieces = (packed.size() + kPiece - 1) / kPiece;
  std::vector<Hash128> hashes(num_pieces);
  threads.ParallelFor(num_pieces, [&](size_t i, size_t) {
    hashes[i] = HashBytes128(packed.subspan(i * kPiece, std::min(kPiece, packed.size() - i * kPiece)));
  });
  std::string settings = config_.ToJson().dump();
  for (const WeightFormat format : packed_formats_) settings += WeightFormatName(format);
  hashes.push_back(HashBytes128(std::as_bytes(weights())));
  hashes.push_back(HashBytes128(std::as_bytes(std::span(settings))));
  return CombineHashes(hashes);
}

Result<Model> Model::Pack(const ModelConfig& config, WeightFormat format, ThreadPool& threads,
                          const ParameterRows& rows) {
  Model model(config, Storage::kPacked);
  const RowsReader source(config, rows);
  QWEN25_RETURN_IF_ERROR(model.PackFrom(source, model.ChooseFormats(source, format), threads));
  return model;
}

}  // namespace qwen25

#include "model/gguf_model.h"

#include <algorithm>
#include <array>
#include <set>

#include "base/mmap.h"
#include "quant/gguf_blocks.h"

namespace qwen25 {
namespace {

// Names of a layer's tensors, here and in GGUF.
constexpr std::array<std::pair<std::string_view, std::string_view>, 15> kLayerNames = {{
    {"input_layernorm.weight", "attn_norm.weight"},
    {"self_attn.q_proj.weight", "attn_q.weight"},
    {"self_attn.k_proj.weight", "attn_k.weight"},
    {"self_attn.v_proj.weight", "attn_v.weight"},
    {"self_attn.q_proj.bias", "attn_q.bias"},
    {"self_attn.k_proj.bias", "attn_k.bias"},
    {"self_attn.v_proj.bias", "attn_v.bias"},
    {"self_attn.q_norm.weight", "attn_q_norm.weight"},
    {"self_attn.k_norm.weight", "attn_k_norm.weight"},
    {"self_attn.o_proj.weight", "attn_output.weight"},
    {"self_attn.o_proj.bias", "attn_output.bias"},
    {"post_attention_layernorm.weight", "ffn_norm.weight"},
    {"mlp.gate_proj.weight", "ffn_gate.weight"},
    {"mlp.up_proj.weight", "ffn_up.weight"},
    {"mlp.down_proj.weight", "ffn_down.weight"},
}};

}  // namespace

bool AllAre(const GgufTensor& tensor, float value) {
  if (IsGgufQuantized(tensor.type)) return false;
  std::vector<float> numbers(tensor.NumElements());
  DecodeGgufRow(tensor.type, tensor.bytes.data(), numbers.size(), numbers.data());
  return std::ranges::count(numbers, value) == std::ssize(numbers);
}

bool TurnsByRotation(std::string_view parameter_name) {
  const std::string_view name = parameter_name.substr(0, parameter_name.rfind('.'));
  return name.ends_with(".q_proj") || name.ends_with(".k_proj");
}

std::string GgufTensorName(const std::string& name) {
  constexpr std::string_view kLayers = "model.layers.";
  if (name == "model.embed_tokens.weight") return "token_embd.weight";
  if (name == "model.norm.weight") return "output_norm.weight";
  if (name == "lm_head.weight") return "output.weight";
  QWEN25_CHECK(name.starts_with(kLayers));
  const size_t dot = name.find('.', kLayers.size());
  const std::string_view rest = std::string_view(name).substr(dot + 1);
  const auto* found =
      std::ranges::find(kLayerNames, rest, &std::pair<std::string_view, std::string_view>::first);
  QWEN25_CHECK(found != kLayerNames.end());
  return fmt::format("blk.{}.{}", name.substr(kLayers.size(), dot - kLayers.size()), found->second);
}

size_t GgufRowOf(size_t row, size_t head_dim) {
  const size_t in_head = row % head_dim, half = head_dim / 2;
  return row - in_head + 2 * (in_head % half) + in_head / half;
}

size_t HuggingFaceRowOf(size_t row, size_t head_dim) {
  const size_t in_head = row % head_dim, half = head_dim / 2;
  return row - in_head + in_head % 2 * half + in_head / 2;
}

namespace {

// Whether ignoring a tensor changes nothing: rotary frequencies (checked by ReadRope), or a bias of zeros.
bool IsHarmless(const GgufTensor& tensor) {
  return tensor.name == "rope_freqs.weight" || tensor.name == "rope_factors_short.weight" ||
         tensor.name == "rope_factors_long.weight" || tensor.name.ends_with(".attn_rot_embd") ||
         tensor.name.ends_with(".attn_rot_embd.weight") ||
         (tensor.name.ends_with(".bias") && AllAre(tensor, 0));
}

}  // namespace

Result<GgufWeights> GgufWeights::Open(const std::filesystem::path& path) {
  QWEN25_TRY(GgufFiles files, GgufFiles::Open(path));
  QWEN25_TRY(ModelConfig config, ModelConfigFromGguf(files, path.string()));
  const bool is_llama = files.Find("general.architecture")->String() == "llama";
  return GgufWeights(path.string(), std::move(config), std::move(files), is_llama);
}

Status GgufWeights::Check(std::span<const NamedParameter> parameters) const {
  std::set<std::string> wanted_names;
  for (const NamedParameter& named : parameters) {
    const std::string& name = *wanted_names.insert(GgufTensorName(named.name)).first;
    const GgufTensor* tensor = files_.FindTensor(name);
    if (tensor == nullptr)
      return NotFound("{}: holds no tensor {}, which its metadata describe", origin_, name);
    const std::vector<uint64_t> shape = ShapeOf(named);
    if (!std::ranges::equal(tensor->shape, shape)) {
      return InvalidArgument("{}: {} has shape {}, expected {} by the metadata", origin_, name,
                             ShapeText(tensor->shape), ShapeText(shape));
    }
    if (!CanDecodeGguf(tensor->type)) {
      return Unsupported("{}: {} is stored as {}; this program reads {}", origin_, name,
                         GgmlTypeName(tensor->type), kDecodedGgufTypes);
    }
  }
  for (const GgufTensor* tensor : files_.tensors()) {
    if (wanted_names.contains(tensor->name) || IsHarmless(*tensor)) continue;
    if (tensor->name.ends_with(".bias")) {
      return Unsupported("{}: {} is a bias that is not zero, which a {} model does not have", origin_,
                         tensor->name, config_.model_type);
    }
    return InvalidArgument("{}: holds a tensor {} that a {} model of {} layers does not have", origin_,
                           tensor->name, config_.model_type, config_.num_hidden_layers);
  }
  return {};
}

GgufRow GgufWeights::Row(const NamedParameter& named, size_t row) const {
  const GgufTensor& tensor = *files_.FindTensor(GgufTensorName(named.name));
  if (IsInterleaved(named) && !named.is_vector) row = GgufRowOf(row, config_.head_dim);
  return {tensor.type, tensor.bytes.data() + row * GgmlRowBytes(tensor.type, named.parameter.cols)};
}

Status GgufWeights::ReadRows(const NamedParameter& named, size_t begin, size_t end, float* out) const {
  const size_t cols = named.parameter.cols;
  for (size_t row = begin; row < end; ++row, out += cols) {
    const Status status = DecodeFiniteGgufRow(Row(named, row), cols, out);
    if (!status.ok()) {
      return Status(status.code(), fmt::format("{}: {}: row {}: {}", origin_, GgufTensorName(named.name), row,
                                               status.message()));
    }
  }
  if (named.is_vector && IsInterleaved(named)) {
    const std::vector<float> stored(out - cols, out);
    for (size_t i = 0; i < cols; ++i) out[i - cols] = stored[GgufRowOf(i, config_.head_dim)];
  }
  return {};
}

WeightFormat GgufWeights::StoredFormat(const NamedParameter& named) const {
  return StoredFormatOf(files_.FindTensor(GgufTensorName(named.name))->type);
}

Status GgufWeights::PackMatrix(ThreadPool& threads, WeightFormat format,
                               std::span<const NamedParameter* const> parts, size_t rows, size_t cols,
                               std::byte* memory) const {
  // Looked up once per part instead of once per row.
  struct Part {
    size_t end;  // row of the whole after its last row
    const GgufTensor* tensor;
    bool permuted;
  };
  std::vector<Part> places;
  size_t end = 0;
  for (const NamedParameter* part : parts) {
    end += part->parameter.rows;
    places.push_back({end, files_.FindTensor(GgufTensorName(part->name)), IsInterleaved(*part)});
  }
  const auto row_of = [&](size_t row) -> GgufRow {
    size_t begin = 0;
    auto place = places.begin();
    for (; row >= place->end; ++place) begin = place->end;
    const size_t at = place->permuted ? GgufRowOf(row - begin, config_.head_dim) : row - begin;
    const size_t row_bytes = GgmlRowBytes(place->tensor->type, cols);
    MappedFile::ReleaseBehind(place->tensor->bytes, at * row_bytes, (at + 1) * row_bytes);
    return {place->tensor->type, place->tensor->bytes.data() + at * row_bytes};
  };
  const Status status = PackGgufWeight(threads, format, rows, cols, row_of, memory);
  if (status.ok()) return status;
  return Status(status.code(),
                fmt::format("{}: {}: {}", origin_, GgufTensorName(parts[0]->name), status.message()));
}

void GgufWeights::Release(std::span<const NamedParameter* const> parts) const {
  for (const NamedParameter* part : parts) {
    MappedFile::Release(files_.FindTensor(GgufTensorName(part->name))->bytes);
  }
}

}  // namespace qwen25

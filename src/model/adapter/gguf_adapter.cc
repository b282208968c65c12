#include "model/adapter/gguf_adapter.h"

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/all_finite.h"
#include "model/adapter/adapter_tensors.h"
#include "model/gguf_model.h"
#include "quant/gguf_blocks.h"
#include "store/gguf.h"

namespace qwen25 {
namespace {

constexpr std::string_view kEmbedding = "model.embed_tokens.weight";

Status ExpectText(const GgufReader& file, std::string_view key, std::string_view wanted,
                  const std::string& origin) {
  const GgufValue* value = file.Find(key);
  const auto text = value == nullptr ? std::nullopt : value->String();
  if (text == wanted) return {};
  return Unsupported("{}: {} is {}, expected \"{}\"; give a LoRA adapter made by convert_lora_to_gguf.py",
                     origin, key, text ? fmt::format("\"{}\"", *text) : "not stated as a text", wanted);
}

// A qwen2 model may have come from a file of architecture "llama" (ModelConfigFromGguf).
Status CheckArchitecture(std::string_view found, const ModelConfig& config, const std::string& origin) {
  if (found == GgufArchitectureOf(config)) return {};
  if (found == "llama" && config.model_type == "qwen2") return {};
  return InvalidArgument("{}: is an adapter of architecture \"{}\", expected \"{}\", which the model has",
                         origin, found, GgufArchitectureOf(config));
}

// Reads a tensor [rows, cols]; with head_dim, rows in llama's order, which become those of Hugging Face.
Status ReadTensor(const GgufTensor& tensor, size_t head_dim, std::span<float> out) {
  const size_t rows = tensor.shape[0], cols = tensor.shape[1], row_bytes = GgmlRowBytes(tensor.type, cols);
  for (size_t row = 0; row < rows; ++row) {
    const size_t from = head_dim == 0 ? row : GgufRowOf(row, head_dim);
    DecodeGgufRow(tensor.type, tensor.bytes.data() + from * row_bytes, cols, out.data() + row * cols);
  }
  if (AllFinite(out)) return {};
  return Corrupt("{} holds a number that is not finite; get the file again", tensor.name);
}

// The parameter that a tensor changes, and whether it is factor up.
struct Target {
  std::string parameter;
  bool is_up;
};
Result<Target> TargetOf(const GgufTensor& tensor, const ModelConfig& config, const std::string& origin) {
  std::string_view name = tensor.name;
  const bool is_down = name.ends_with(".lora_a");
  if (!is_down && !name.ends_with(".lora_b")) {
    return Unsupported("{}: tensor {} is not a factor of an adapter, whose names end in .lora_a or .lora_b",
                       origin, tensor.name);
  }
  name.remove_suffix(std::string_view(".lora_a").size());
  for (const NamedParameter& named : AdaptableParameters(config)) {
    // An embedding's factors are stored for looking up: up is the first one.
    if (GgufTensorName(named.name) == name) return Target{named.name, is_down == (named.name == kEmbedding)};
  }
  return Target{std::string(name), !is_down};  // AdapterTensors::Add refuses it
}

// The factor of llama.cpp: alpha over the rank, or 1 where no alpha is stated.
Result<double> ReadAlpha(const GgufReader& file, const std::string& origin) {
  const GgufValue* value = file.Find("adapter.lora.alpha");
  if (value == nullptr) return 0.0;
  const std::optional<double> alpha = value->Number();
  if (!alpha || !std::isfinite(*alpha)) {
    return InvalidArgument("{}: adapter.lora.alpha is a {}, expected a finite number", origin,
                           value->TypeName());
  }
  return *alpha;
}

}  // namespace

Result<Adapter> ReadGgufAdapter(const std::filesystem::path& path, double scale, const ModelConfig& config) {
  const std::string origin = path.string();
  QWEN25_TRY(const GgufReader file, GgufReader::Open(path));
  QWEN25_RETURN_IF_ERROR(ExpectText(file, "general.type", "adapter", origin));
  QWEN25_RETURN_IF_ERROR(ExpectText(file, "adapter.type", "lora", origin));
  if (file.Find("adapter.alora.invocation_tokens") != nullptr) {
    return Unsupported("{}: is an activated adapter (adapter.alora.invocation_tokens), which is not run",
                       origin);
  }
  const GgufValue* architecture = file.Find("general.architecture");
  const std::string_view found =
      architecture == nullptr ? std::string_view() : architecture->String().value_or(std::string_view());
  QWEN25_RETURN_IF_ERROR(CheckArchitecture(found, config, origin));
  QWEN25_TRY(const double alpha, ReadAlpha(file, origin));
  AdapterTensors tensors(origin, config);
  for (const GgufTensor& tensor : file.tensors()) {
    QWEN25_TRY(const Target target, TargetOf(tensor, config, origin));
    if (!CanDecodeGguf(tensor.type)) {
      return Unsupported("{}: {} is stored as {}; this program reads {}", origin, tensor.name,
                         GgmlTypeName(tensor.type), kDecodedGgufTypes);
    }
    const bool turns = target.is_up && found == "llama" && TurnsByRotation(target.parameter);
    QWEN25_RETURN_IF_ERROR(
        tensors.Add(target.parameter, target.is_up,
                    {.name = tensor.name,
                     .shape = tensor.shape,
                     .transposed = !target.is_up && target.parameter == kEmbedding,
                     .read = [&tensor, head_dim = turns ? config.head_dim : 0](std::span<float> out) {
                       return ReadTensor(tensor, head_dim, out);
                     }}));
  }
  return tensors.Read([&](const std::string&, size_t rank) -> Result<double> {
    return alpha == 0 ? scale : scale * alpha / static_cast<double>(rank);
  });
}

}  // namespace qwen25

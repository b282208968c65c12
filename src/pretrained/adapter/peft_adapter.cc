#include "pretrained/adapter/peft_adapter.h"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <utility>

#include "base/json.h"
#include "model/adapter/adapter_tensors.h"
#include "pretrained/adapter/peft_config.h"
#include "store/safetensors.h"

namespace qwen25 {
namespace {

constexpr std::string_view kPrefix = "base_model.model.", kWeight = ".weight";

// What the names of factors end in. PEFT keeps those of an embedding, whose weight it sees as [width,
// vocabulary], the other way round.
struct Ending {
  std::string_view text;
  bool is_up, transposed;
};
constexpr std::array<Ending, 4> kEndings = {{{".lora_A.weight", false, false},
                                             {".lora_B.weight", true, false},
                                             {".lora_embedding_A", true, true},
                                             {".lora_embedding_B", false, true}}};

Status Refuse(const std::string& origin, std::string_view tensor) {
  if (tensor.ends_with(".base_layer.weight")) {
    return Unsupported(
        "{}: tensor {} is a copy of the base model's weights, which PEFT adds where the embedding is "
        "adapted; "
        "save the adapter with save_embedding_layers=False, or merge it into its base model "
        "(merge_and_unload)",
        origin, tensor);
  }
  const std::string_view kind = tensor.ends_with("lora_magnitude_vector") ? "DoRA's magnitudes"
                                : tensor.ends_with(".bias")               ? "a trained bias"
                                : tensor.find(".lora_") == tensor.npos ? "trained weights of a whole module"
                                                                       : "of a kind that is not handled";
  return Unsupported(
      "{}: tensor {} is {}; expected names that begin with {} and end in .lora_A.weight, .lora_B.weight, "
      ".lora_embedding_A or .lora_embedding_B; merge the adapter into its base model with PEFT "
      "(merge_and_unload), and use the merged model",
      origin, tensor, kind, kPrefix);
}

Status AddTensor(const TensorInfo& tensor, const std::string& origin, AdapterTensors& tensors) {
  const std::string_view name = tensor.name;
  const auto ending =
      std::ranges::find_if(kEndings, [&](const Ending& each) { return name.ends_with(each.text); });
  if (ending == kEndings.end() || !name.starts_with(kPrefix)) return Refuse(origin, name);
  if (tensor.dtype != DType::kF32 && tensor.dtype != DType::kF16 && tensor.dtype != DType::kBF16) {
    return Unsupported("{}: tensor {} is stored as {}, expected F32, F16 or BF16", origin, name,
                       DTypeName(tensor.dtype));
  }
  std::string_view module = name.substr(kPrefix.size());
  module.remove_suffix(ending->text.size());
  const bool looks_up = ending->transposed;
  if (looks_up != (module == "model.embed_tokens")) return Refuse(origin, name);
  return tensors.Add(fmt::format("{}{}", module, kWeight), ending->is_up,
                     {.name = tensor.name,
                      .shape = tensor.shape,
                      .transposed = ending->transposed,
                      .read = [&tensor](std::span<float> out) {
                        return CopyToFloat(tensor, 0, out, /*check_finite=*/true);
                      }});
}

}  // namespace

Result<Adapter> ReadPeftAdapter(const std::filesystem::path& folder, double scale,
                                const ModelConfig& config) {
  const std::string origin = folder.string();
  const std::filesystem::path settings_file = folder / "adapter_config.json";
  const std::filesystem::path tensor_file = folder / "adapter_model.safetensors";
  QWEN25_TRY(const Json json, ReadJsonFile(settings_file.string()));
  QWEN25_TRY(const PeftConfig settings, PeftConfig::FromJson(json, settings_file.string()));
  std::error_code ignored;
  if (!std::filesystem::exists(tensor_file, ignored)) {
    return NotFound("{}: there is no adapter_model.safetensors{}", origin,
                    std::filesystem::exists(folder / "adapter_model.bin", ignored)
                        ? "; adapter_model.bin is not read: save it again with safe_serialization=True"
                        : ", which PEFT saves beside adapter_config.json");
  }
  QWEN25_TRY(const SafetensorsReader file, SafetensorsReader::Open(tensor_file));
  AdapterTensors tensors(origin, config);
  for (const TensorInfo& tensor : file.tensors()) QWEN25_RETURN_IF_ERROR(AddTensor(tensor, origin, tensors));
  return tensors.Read([&](const std::string& parameter, size_t rank) -> Result<double> {
    const std::string_view module = std::string_view(parameter).substr(0, parameter.size() - kWeight.size());
    if (const size_t wanted = settings.RankOf(module); wanted != rank) {
      return InvalidArgument("{}: the tensors of {} have rank {}, expected {} by adapter_config.json", origin,
                             module, rank, wanted);
    }
    return scale * settings.ScaleOf(module, rank);
  });
}

}  // namespace qwen25

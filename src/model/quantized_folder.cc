#include "model/quantized_folder.h"

#include <algorithm>

namespace qwen25 {
namespace {

// Endings of tensors' names that only quantization methods give. Endings of a single method come first, since
// several methods have scales.
struct Trace {
  std::string_view ending;
  std::string_view method;
};
constexpr Trace kTraces[] = {
    {".g_idx", "gptq"},
    {".q_weight", "exl2"},
    {".q_invperm", "exl2"},
    {".trellis", "exl3"},
    {".W_q", "hqq"},
    {".codebooks", "aqlm"},
    {".weight_packed", "compressed-tensors"},
    {".absmax", "bitsandbytes"},
    {".quant_map", "bitsandbytes"},
    {".SCB", "bitsandbytes"},
    {".weight_format", "bitsandbytes"},
    {".weight_scales", "eetq"},
    {".weight._data", "quanto"},
    {".weight_qdata", "torchao"},
    {".weight_scale_2", "modelopt"},
    {".weight_scale_inv", "fp8"},
    {".weight_scale", "fp8"},
    {".input_scale", "fp8"},
    {".qweight", "awq or gptq"},
    {".qzeros", "awq or gptq"},
    {".biases", "mlx"},
    {".scales", "awq or gptq"},
};

Status Refused(const std::filesystem::path& directory, std::string_view method, std::string_view place) {
  return Unsupported("{}: quantized with {} ({}), which is not read; use the original or a GGUF file",
                     directory.string(), method, place);
}

}  // namespace

Status CheckConfigNotQuantized(const Json& config, const std::filesystem::path& directory) {
  if (!config.is_object()) return {};
  for (const char* key : {"quantization_config", "compression_config"}) {
    const auto found = config.find(key);
    if (found == config.end() || !found->is_object()) continue;
    std::string method;
    bool in_8_bits = false, in_4_bits = false;
    QWEN25_RETURN_IF_ERROR(ReadField(*found, "quant_method", key, method));
    QWEN25_RETURN_IF_ERROR(ReadField(*found, "load_in_8bit", key, in_8_bits));
    QWEN25_RETURN_IF_ERROR(ReadField(*found, "load_in_4bit", key, in_4_bits));
    const bool states_bits = found->contains("load_in_8bit") || found->contains("load_in_4bit");
    if (states_bits) {  // bitsandbytes', which may say that nothing was done; its first files named no method
      if (!in_8_bits && !in_4_bits) continue;
      if (method.empty()) method = "bitsandbytes";
    }
    if (method.empty() || method == "none") continue;
    return Refused(directory, method, fmt::format("config.json {}", key));
  }
  return {};
}

Status CheckTensorsNotQuantized(std::span<const TensorInfo> tensors, const std::filesystem::path& directory) {
  for (const Trace& trace : kTraces) {
    const auto found = std::ranges::find_if(
        tensors, [&](const TensorInfo& tensor) { return tensor.name.ends_with(trace.ending); });
    if (found != tensors.end()) {
      return Refused(directory, trace.method, fmt::format("tensor {}", found->name));
    }
  }
  return {};
}

}  // namespace qwen25

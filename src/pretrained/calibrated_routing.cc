#include "pretrained/calibrated_routing.h"

#include "base/file.h"
#include "base/json.h"
#include "model/weights_reader.h"

namespace qwen25 {
namespace {

// What keys and heads a policy chooses among.
Json ShapeOf(const ModelConfig& config) {
  return {{"num_hidden_layers", config.num_hidden_layers},
          {"num_attention_heads", config.num_attention_heads},
          {"num_key_value_heads", config.num_key_value_heads},
          {"head_dim", config.head_dim}};
}

constexpr const char* kWhatToDo = "measure it again with `qwen25 routing --calibrate`, or remove the file";

}  // namespace

std::filesystem::path CalibratedRoutingPath(const std::filesystem::path& model) {
  if (!IsGgufPath(model)) return model / "routing.json";
  std::filesystem::path path = model;
  return path += ".routing.json";
}

Result<std::optional<CalibratedRouting>> ReadCalibratedRouting(const std::filesystem::path& model,
                                                               const ModelConfig& config) {
  const std::string path = CalibratedRoutingPath(model).string();
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return std::optional<CalibratedRouting>();
  const auto read = [&]() -> Result<CalibratedRouting> {
    QWEN25_TRY(const Json json, ReadJsonFile(path));
    if (!json.is_object()) return Status(StatusCode::kCorrupt, fmt::format("{}: is not an object", path));
    CalibratedRouting calibrated;
    std::string policy;
    QWEN25_RETURN_IF_ERROR(ReadField(json, "policy", path, policy));
    QWEN25_RETURN_IF_ERROR(ReadField(json, "loss", path, calibrated.loss));
    QWEN25_RETURN_IF_ERROR(ReadField(json, "text", path, calibrated.text));
    QWEN25_RETURN_IF_ERROR(ReadField(json, "tokens", path, calibrated.num_tokens));
    QWEN25_RETURN_IF_ERROR(ReadField(json, "window", path, calibrated.window));
    const Result<RoutingPolicy> parsed = RoutingPolicy::Parse(policy);
    if (!parsed.ok()) return InvalidArgument("{}: \"policy\": {}", path, parsed.status().message());
    calibrated.policy = *parsed;
    const auto shape = json.find("shape");
    if (shape == json.end() || *shape != ShapeOf(config)) {
      return InvalidArgument("{}: was made for a model of another shape than {}, expected \"shape\": {}",
                             path, model.string(), ShapeOf(config).dump());
    }
    return calibrated;
  };
  Result<CalibratedRouting> calibrated = read();
  if (!calibrated.ok()) {
    return Status(calibrated.status().code(),
                  fmt::format("{}; {}", calibrated.status().message(), kWhatToDo));
  }
  return std::optional(*std::move(calibrated));
}

std::string CalibrationRemark(const std::filesystem::path& model) {
  return fmt::format("attention is routed as {} says; --routing dense reads everything",
                     CalibratedRoutingPath(model).string());
}

Status WriteCalibratedRouting(const std::filesystem::path& model, const ModelConfig& config,
                              const CalibratedRouting& calibrated) {
  const Json json = {
      {"policy", calibrated.policy.ToString()}, {"loss", calibrated.loss},     {"text", calibrated.text},
      {"tokens", calibrated.num_tokens},        {"window", calibrated.window}, {"shape", ShapeOf(config)}};
  return WriteFileAtomically(CalibratedRoutingPath(model), json.dump(2) + "\n");
}

}  // namespace qwen25

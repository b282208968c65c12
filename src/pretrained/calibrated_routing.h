// The routing policy that was measured to suit a checkpoint (eval/routing_calibration.h), in a file beside
// it: FOLDER/routing.json, or FILE.gguf.routing.json. Whoever runs the model without naming a policy gets it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "base/status.h"
#include "model/config.h"

namespace qwen25 {

struct CalibratedRouting {
  RoutingPolicy policy;
  double loss = 0;   // how much greater perplexity was with it than with dense attention, as a share of that
  std::string text;  // the name of the text that it was measured on
  uint64_t num_tokens = 0;  // of it
  uint32_t window = 0;      // in tokens
};

// The file for a model's folder or GGUF file.
std::filesystem::path CalibratedRoutingPath(const std::filesystem::path& model);

// None if the model has no such file. kCorrupt or kInvalidArgument, naming the file and what to do, if it
// cannot be used: it is damaged, or was made for a model of another shape than `config`.
Result<std::optional<CalibratedRouting>> ReadCalibratedRouting(const std::filesystem::path& model,
                                                               const ModelConfig& config);
// For the user: that a model is routed by its file, and how to change that.
std::string CalibrationRemark(const std::filesystem::path& model);
// Replaces the file atomically. Errors of WriteFileAtomically.
Status WriteCalibratedRouting(const std::filesystem::path& model, const ModelConfig& config,
                              const CalibratedRouting& calibrated);

}  // namespace qwen25

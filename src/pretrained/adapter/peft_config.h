// The settings of an adapter saved by PEFT: adapter_config.json.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "text/regex.h"

namespace qwen25 {

// What decides how a LoRA adapter changes a model.
class PeftConfig {
 public:
  // kUnsupported names a setting that would change the result and is not handled (DoRA, modules_to_save,
  // trained biases and others), and says what to do; kInvalidArgument for a value out of range.
  static Result<PeftConfig> FromJson(const Json& json, const std::string& origin);

  // The rank that a module should have, such as "model.layers.0.self_attn.q_proj".
  size_t RankOf(std::string_view module) const;
  // What multiplies the product of the module's factors, of that rank.
  double ScaleOf(std::string_view module, size_t rank) const;

 private:
  // Names of modules, or regular expressions of the ends of such names, in the order in which PEFT tries
  // them.
  using Patterns = std::vector<std::pair<Regex, double>>;
  static Result<Patterns> ReadPatterns(const Json& json, const char* key, const std::string& origin);
  static double Find(const Patterns& patterns, std::string_view module, double otherwise);

  double rank_ = 0, alpha_ = 0;
  bool uses_root_ = false;  // rsLoRA: over the root of the rank
  Patterns rank_patterns_, alpha_patterns_;
};

}  // namespace qwen25

#include "pretrained/adapter/peft_config.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

namespace qwen25 {
namespace {

constexpr double kMaxRank = 65536;

// Settings that do not change what a saved adapter computes: what training did, which modules it chose (the
// tensors show that), and how PEFT's own memory is used. fan_in_fan_out is about transposed weights, which
// none of these models has.
constexpr std::array kHarmless = {"auto_mapping",
                                  "base_model_name_or_path",
                                  "corda_config",
                                  "eva_config",
                                  "exclude_modules",
                                  "fan_in_fan_out",
                                  "inference_mode",
                                  "layers_pattern",
                                  "layers_to_transform",
                                  "loftq_config",
                                  "lora_dropout",
                                  "lora_ga_config",
                                  "megatron_core",
                                  "peft_version",
                                  "qalora_group_size",
                                  "revision",
                                  "runtime_config",
                                  "target_modules",
                                  "task_type"};
// Those that are read below.
constexpr std::array kRead = {"peft_type",    "r",    "lora_alpha",        "use_rslora",
                              "rank_pattern", "bias", "init_lora_weights", "alpha_pattern"};

constexpr std::string_view kAdvice =
    "merge it into its base model with PEFT (merge_and_unload), and use the merged model";

// Whether a setting is off: absent, null, false, empty or "none".
bool IsOff(const Json& value) {
  return value.is_null() || value == false || value == "none" ||
         ((value.is_array() || value.is_object() || value.is_string()) && value.empty());
}

Status CheckKind(const Json& json, const std::string& origin) {
  const auto type = json.find("peft_type");
  if (type != json.end() && *type == "LORA") return {};
  return Unsupported("{}: peft_type is {}, expected \"LORA\"; {}", origin,
                     type == json.end() ? "not stated" : DumpJson(*type), kAdvice);
}

// Some ways to begin change the base model as well, and PEFT repeats that whenever it loads the adapter.
Status CheckInitialisation(const Json& json, const std::string& origin) {
  const auto value = json.find("init_lora_weights");
  if (value == json.end() || value->is_boolean() || value->is_null()) return {};
  for (const char* known : {"gaussian", "eva", "orthogonal", "true", "false"}) {
    if (*value == known) return {};
  }
  return Unsupported(
      "{}: init_lora_weights is {}, which may change the base model, too; {}, or save the adapter with "
      "path_initial_model_for_weight_conversion",
      origin, DumpJson(*value), kAdvice);
}

Status CheckSettings(const Json& json, const std::string& origin) {
  for (const auto& [key, value] : json.items()) {
    const bool known = std::ranges::find(kHarmless, key) != kHarmless.end() ||
                       (std::ranges::find(kRead, key) != kRead.end() && key != "bias");
    if (known || IsOff(value)) continue;
    return Unsupported("{}: {} is {}, a setting that is not handled; {}", origin, key, DumpJson(value),
                       kAdvice);
  }
  return CheckInitialisation(json, origin);
}

// A finite number from `least` to `most`.
Result<double> ReadNumber(const Json& value, std::string_view key, double least, double most,
                          const std::string& origin) {
  const bool is_number = value.is_number();
  const double number = is_number ? value.get<double>() : 0;
  if (is_number && number >= least && number <= most) return number;
  return InvalidArgument("{}: {} is {}, expected a number from {} to {}", origin, key, DumpJson(value), least,
                         most);
}

Result<double> ReadNumber(const Json& json, const char* key, double least, double most, double otherwise,
                          const std::string& origin) {
  const auto value = json.find(key);
  if (value == json.end()) return otherwise;
  return ReadNumber(*value, key, least, most, origin);
}

constexpr double kMaxAlpha = 1e9;

}  // namespace

Result<PeftConfig::Patterns> PeftConfig::ReadPatterns(const Json& json, const char* key,
                                                      const std::string& origin) {
  Patterns patterns;
  const auto found = json.find(key);
  if (found == json.end() || found->is_null()) return patterns;
  if (!found->is_object()) {
    return InvalidArgument("{}: {} is {}, expected an object of numbers", origin, key, DumpJson(*found));
  }
  const bool is_rank = std::string_view(key) == "rank_pattern";
  for (const auto& [name, value] : found->items()) {
    QWEN25_TRY(const double number,
               ReadNumber(value, fmt::format("{} \"{}\"", key, name), is_rank ? 1 : -kMaxAlpha,
                          is_rank ? kMaxRank : kMaxAlpha, origin));
    QWEN25_TRY(Regex regex, Regex::Compile(fmt::format("\\A(.*\\.)?({})\\z", name), origin));
    patterns.emplace_back(std::move(regex), number);
  }
  return patterns;
}

Result<PeftConfig> PeftConfig::FromJson(const Json& json, const std::string& origin) {
  if (!json.is_object()) return InvalidArgument("{}: is not a JSON object", origin);
  QWEN25_RETURN_IF_ERROR(CheckKind(json, origin));
  QWEN25_RETURN_IF_ERROR(CheckSettings(json, origin));
  PeftConfig config;
  QWEN25_RETURN_IF_ERROR(ReadField(json, "use_rslora", origin, config.uses_root_));
  // The defaults are PEFT's own.
  QWEN25_TRY(config.rank_, ReadNumber(json, "r", 1, kMaxRank, 8, origin));
  QWEN25_TRY(config.alpha_, ReadNumber(json, "lora_alpha", -kMaxAlpha, kMaxAlpha, 8, origin));
  QWEN25_TRY(config.rank_patterns_, ReadPatterns(json, "rank_pattern", origin));
  QWEN25_TRY(config.alpha_patterns_, ReadPatterns(json, "alpha_pattern", origin));
  return config;
}

double PeftConfig::Find(const Patterns& patterns, std::string_view module, double otherwise) {
  Regex::Scratch scratch;
  for (const auto& [regex, value] : patterns) {
    if (regex.Find(module, 0, scratch)) return value;
  }
  return otherwise;
}

size_t PeftConfig::RankOf(std::string_view module) const {
  return static_cast<size_t>(Find(rank_patterns_, module, rank_));
}

double PeftConfig::ScaleOf(std::string_view module, size_t rank) const {
  const double divisor = uses_root_ ? std::sqrt(static_cast<double>(rank)) : static_cast<double>(rank);
  return Find(alpha_patterns_, module, alpha_) / divisor;
}

}  // namespace qwen25

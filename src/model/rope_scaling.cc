#include "model/rope_scaling.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "ops/attention/rotary_table.h"

namespace qwen25 {
namespace {

constexpr uint32_t kMaxPositions = 1u << 24;  // stretched ones included

Status ReadYarn(const Json& json, std::string_view origin, RopeScaling& scaling) {
  double weight = 0, weight_of_all = 0;
  bool truncate = true;
  QWEN25_RETURN_IF_ERROR(ReadField(json, "attention_factor", origin, scaling.attention_factor));
  QWEN25_RETURN_IF_ERROR(ReadField(json, "beta_fast", origin, scaling.beta_fast));
  QWEN25_RETURN_IF_ERROR(ReadField(json, "beta_slow", origin, scaling.beta_slow));
  QWEN25_RETURN_IF_ERROR(ReadField(json, "mscale", origin, weight));
  QWEN25_RETURN_IF_ERROR(ReadField(json, "mscale_all_dim", origin, weight_of_all));
  QWEN25_RETURN_IF_ERROR(ReadField(json, "truncate", origin, truncate));
  if (!truncate) {
    return Unsupported(
        "{}: rope scaling has \"truncate\" false, which this program does not run; expected true", origin);
  }
  // transformers ignores either of the two alone.
  if (scaling.attention_factor == 0 && weight != 0 && weight_of_all != 0) {
    scaling.attention_factor =
        YarnAttentionFactor(scaling.factor, weight) / YarnAttentionFactor(scaling.factor, weight_of_all);
  }
  return {};
}

// None of the three has a default.
Status ReadLlama3(const Json& json, std::string_view origin, RopeScaling& scaling) {
  for (const char* key : {"factor", "low_freq_factor", "high_freq_factor"}) {
    if (!json.contains(key)) {
      return InvalidArgument("{}: rope scaling \"llama3\" has no \"{}\"", origin, key);
    }
  }
  QWEN25_RETURN_IF_ERROR(ReadField(json, "low_freq_factor", origin, scaling.low_freq_factor));
  return ReadField(json, "high_freq_factor", origin, scaling.high_freq_factor);
}

Status ReadDivisors(const Json& json, const char* key, std::string_view origin, std::vector<double>& out) {
  const auto found = json.find(key);
  if (found == json.end() || !found->is_array()) {
    return InvalidArgument("{}: rope scaling \"longrope\" has no list \"{}\"", origin, key);
  }
  for (const Json& value : *found) {
    if (!value.is_number()) {
      return InvalidArgument("{}: \"{}\" holds {}, expected a number", origin, key, value.dump());
    }
    out.push_back(value.get<double>());
  }
  return {};
}

Status ReadLongRope(const Json& json, std::string_view origin, uint32_t max_positions, RopeScaling& scaling) {
  std::vector<double> beyond;
  QWEN25_RETURN_IF_ERROR(ReadDivisors(json, "short_factor", origin, scaling.divisors));
  QWEN25_RETURN_IF_ERROR(ReadDivisors(json, "long_factor", origin, beyond));
  const uint32_t trained = scaling.original_max_position_embeddings;
  if (scaling.divisors != beyond && max_positions > trained) {
    return Unsupported(
        "{}: rope scaling \"longrope\" changes from \"short_factor\" to \"long_factor\" beyond {} positions, "
        "which this program does not run; expected two equal lists, or \"max_position_embeddings\" of at "
        "most that",
        origin, trained);
  }
  double factor = 0;
  QWEN25_RETURN_IF_ERROR(ReadField(json, "factor", origin, factor));
  QWEN25_RETURN_IF_ERROR(ReadField(json, "attention_factor", origin, scaling.attention_factor));
  scaling.factor = 1;
  if (scaling.attention_factor != 0) return {};
  if (factor == 0) factor = static_cast<double>(max_positions) / trained;
  scaling.attention_factor = factor <= 1 ? 1 : std::sqrt(1 + std::log(factor) / std::log(trained));
  return {};
}

Status CheckFactor(const RopeScaling& scaling, std::string_view origin) {
  if (scaling.factor >= 1 && scaling.factor <= 1024) return {};
  return InvalidArgument("{}: rope scaling \"factor\" is {}, expected 1 to 1024", origin, scaling.factor);
}

Status CheckStretched(std::string_view origin, const char* name, uint32_t positions, double factor) {
  if (positions * factor <= kMaxPositions) return {};
  return InvalidArgument("{}: \"{}\" {} times \"factor\" {} is more than {}", origin, name, positions, factor,
                         kMaxPositions);
}

Status ValidateYarn(const RopeScaling& scaling, std::string_view origin) {
  if (!(scaling.attention_factor >= 0) || scaling.attention_factor > 1024) {
    return InvalidArgument("{}: rope scaling \"attention_factor\" is {}, expected 0 to 1024", origin,
                           scaling.attention_factor);
  }
  if (!(scaling.beta_slow > 0) || !(scaling.beta_fast > scaling.beta_slow)) {
    return InvalidArgument("{}: rope scaling betas are {} and {}, expected beta_fast > beta_slow > 0", origin,
                           scaling.beta_fast, scaling.beta_slow);
  }
  return {};
}

Status ValidateLlama3(const RopeScaling& scaling, std::string_view origin) {
  if (!(scaling.low_freq_factor > 0) || !(scaling.high_freq_factor > scaling.low_freq_factor) ||
      !std::isfinite(scaling.high_freq_factor)) {
    return InvalidArgument(
        "{}: rope scaling factors are {} and {}, expected high_freq_factor > low_freq_factor > 0", origin,
        scaling.high_freq_factor, scaling.low_freq_factor);
  }
  if (scaling.original_max_position_embeddings != 0) return {};
  return InvalidArgument("{}: \"original_max_position_embeddings\" is 0, expected the trained length",
                         origin);
}

Status ValidateLongRope(const RopeScaling& scaling, std::string_view origin, uint32_t head_dim) {
  if (scaling.divisors.size() != head_dim / 2) {
    return InvalidArgument("{}: rope scaling \"longrope\" has {} factors, expected {}, half of the head_dim",
                           origin, scaling.divisors.size(), head_dim / 2);
  }
  for (const double divisor : scaling.divisors) {
    if (divisor >= 1e-3 && divisor <= 1e6) continue;
    return InvalidArgument("{}: rope scaling \"longrope\" has the factor {}, expected 0.001 to 1000000",
                           origin, divisor);
  }
  if (scaling.attention_factor > 0 && scaling.attention_factor <= 1024) return {};
  return InvalidArgument("{}: rope scaling \"attention_factor\" is {}, expected above 0 to 1024", origin,
                         scaling.attention_factor);
}

void ScaleByYarn(const RopeScaling& scaling, double rope_theta, uint32_t max_positions,
                 std::vector<double>& frequencies) {
  // A frequency with more than beta_fast rotations within the trained length is kept, one with fewer than
  // beta_slow is divided by `factor`, and those between are blended.
  const double trained_length = scaling.original_max_position_embeddings != 0
                                    ? scaling.original_max_position_embeddings
                                    : max_positions;
  const auto head_dim = static_cast<double>(2 * frequencies.size());
  const auto dimension_of = [&](double rotations) {
    return head_dim * std::log(trained_length / (rotations * 2 * std::numbers::pi)) /
           (2 * std::log(rope_theta));
  };
  const double low = std::max(std::floor(dimension_of(scaling.beta_fast)), 0.0);
  double high = std::min(std::ceil(dimension_of(scaling.beta_slow)), head_dim - 1.0);
  if (high == low) high += 0.001;
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const double slowed = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    frequencies[i] = frequencies[i] / scaling.factor * slowed + frequencies[i] * (1 - slowed);
  }
}

void ScaleAsLlama3(const RopeScaling& scaling, std::vector<double>& frequencies) {
  const double low = scaling.low_freq_factor, high = scaling.high_freq_factor;
  for (double& frequency : frequencies) {
    const double rotations = scaling.original_max_position_embeddings * frequency / (2 * std::numbers::pi);
    const double kept = std::clamp((rotations - low) / (high - low), 0.0, 1.0);
    frequency = (1 - kept) * frequency / scaling.factor + kept * frequency;
  }
}

}  // namespace

Result<std::optional<RopeScaling>> ReadRopeScaling(const Json& json, std::string_view key,
                                                   std::string_view origin, uint32_t max_positions,
                                                   uint32_t trained_length) {
  RopeScaling scaling;
  QWEN25_RETURN_IF_ERROR(ReadField(json, "type", origin, scaling.type));
  QWEN25_RETURN_IF_ERROR(ReadField(json, "rope_type", origin, scaling.type));
  // Dynamic scaling changes nothing within the trained length, which is the longest context here; and the
  // three positions that "mrope" gives a token are one in a text.
  if (scaling.type == "default" || scaling.type == "dynamic" || scaling.type == "mrope") {
    return std::optional<RopeScaling>();
  }
  if (scaling.type != "longrope") QWEN25_RETURN_IF_ERROR(ReadField(json, "factor", origin, scaling.factor));
  if (scaling.type.empty() && scaling.factor == 1) return std::optional<RopeScaling>();
  if (scaling.type.empty()) {
    return InvalidArgument("{}: \"{}\" has the factor {} and no \"rope_type\", expected {}", origin, key,
                           scaling.factor, "\"linear\", \"yarn\", \"llama3\" or \"longrope\"");
  }
  if (scaling.type != "linear") {
    QWEN25_RETURN_IF_ERROR(ReadField(json, "original_max_position_embeddings", origin,
                                     scaling.original_max_position_embeddings));
    if (trained_length != 0) scaling.original_max_position_embeddings = trained_length;
  }
  if (scaling.original_max_position_embeddings == 0) {
    scaling.original_max_position_embeddings = max_positions;
  }
  if (scaling.type == "yarn") QWEN25_RETURN_IF_ERROR(ReadYarn(json, origin, scaling));
  if (scaling.type == "llama3") QWEN25_RETURN_IF_ERROR(ReadLlama3(json, origin, scaling));
  if (scaling.type == "longrope") {
    QWEN25_RETURN_IF_ERROR(ReadLongRope(json, origin, max_positions, scaling));
  }
  return std::optional(std::move(scaling));
}

Json RopeScalingToJson(const RopeScaling& scaling, uint32_t max_positions) {
  Json json;
  json["type"] = scaling.type;
  json["rope_type"] = scaling.type;
  if (scaling.type != "longrope") json["factor"] = scaling.factor;
  if (scaling.type == "linear") return json;
  json["original_max_position_embeddings"] = scaling.original_max_position_embeddings != 0
                                                 ? scaling.original_max_position_embeddings
                                                 : max_positions;
  if (scaling.type == "llama3") {
    json["low_freq_factor"] = scaling.low_freq_factor;
    json["high_freq_factor"] = scaling.high_freq_factor;
    return json;
  }
  if (scaling.attention_factor != 0) json["attention_factor"] = scaling.attention_factor;
  if (scaling.type == "longrope") {
    json["short_factor"] = scaling.divisors;
    json["long_factor"] = scaling.divisors;
    return json;
  }
  json["beta_fast"] = scaling.beta_fast;
  json["beta_slow"] = scaling.beta_slow;
  return json;
}

Status ValidateRopeScaling(const RopeScaling& scaling, std::string_view origin, uint32_t head_dim,
                           uint32_t max_positions) {
  if (scaling.type == "longrope") return ValidateLongRope(scaling, origin, head_dim);
  if (scaling.type == "llama3") {
    QWEN25_RETURN_IF_ERROR(CheckFactor(scaling, origin));
    return ValidateLlama3(scaling, origin);
  }
  if (scaling.type != "linear" && scaling.type != "yarn") {
    return Unsupported(
        "{}: rope scaling \"{}\" is unknown, expected \"linear\", \"yarn\", \"llama3\" or \"longrope\"",
        origin, scaling.type);
  }
  QWEN25_RETURN_IF_ERROR(CheckFactor(scaling, origin));
  QWEN25_RETURN_IF_ERROR(CheckStretched(origin, "max_position_embeddings", max_positions, scaling.factor));
  QWEN25_RETURN_IF_ERROR(CheckStretched(origin, "original_max_position_embeddings",
                                        scaling.original_max_position_embeddings, scaling.factor));
  return ValidateYarn(scaling, origin);
}

double YarnAttentionFactor(double factor, double weight) {
  return factor <= 1 ? 1 : 0.1 * weight * std::log(factor) + 1;
}

double ScaleFrequencies(const RopeScaling& scaling, double rope_theta, uint32_t max_positions,
                        std::vector<double>& frequencies) {
  if (scaling.type == "linear") {
    for (double& frequency : frequencies) frequency /= scaling.factor;
    return 1;
  }
  if (scaling.type == "llama3") {
    ScaleAsLlama3(scaling, frequencies);
    return 1;
  }
  if (scaling.type == "longrope") {
    for (size_t i = 0; i < frequencies.size(); ++i) frequencies[i] /= scaling.divisors[i];
    return scaling.attention_factor * scaling.attention_factor;
  }
  ScaleByYarn(scaling, rope_theta, max_positions, frequencies);
  const double attention_factor =
      scaling.attention_factor != 0 ? scaling.attention_factor : YarnAttentionFactor(scaling.factor);
  return attention_factor * attention_factor;
}

std::optional<RopeScaling> RopeScalingByDivisors(const std::vector<double>& divisors, double rope_theta,
                                                 uint32_t max_positions) {
  if (std::ranges::count(divisors, 1.0) == std::ssize(divisors)) return std::nullopt;
  // Llama 3.1, 3.2 and 3.3 were all trained with 8,192 positions; others may follow.
  for (const uint32_t trained : {8192u, 4096u, 16384u, 32768u, 2048u, 1024u, 512u, 256u, 65536u, 131072u}) {
    const RopeScaling scaling = {.type = "llama3",
                                 .factor = *std::ranges::max_element(divisors),
                                 .original_max_position_embeddings = trained};
    const std::vector<float> wanted =
        DivisorsOf(scaling, static_cast<uint32_t>(2 * divisors.size()), rope_theta);
    const auto same = [](double a, float b) { return std::fabs(a - b) <= 1e-5 * std::fabs(b); };
    if (std::ranges::equal(divisors, wanted, same)) return scaling;
  }
  return RopeScaling{.type = "longrope",
                     .original_max_position_embeddings = max_positions,
                     .attention_factor = 1,
                     .divisors = divisors};
}

std::vector<float> DivisorsOf(const RopeScaling& scaling, uint32_t head_dim, double rope_theta) {
  const std::vector<double> plain = InverseFrequencies(head_dim, rope_theta);
  std::vector<double> scaled = plain;
  ScaleFrequencies(scaling, rope_theta, 0, scaled);
  std::vector<float> divisors(plain.size());
  for (size_t i = 0; i < plain.size(); ++i) divisors[i] = static_cast<float>(plain[i] / scaled[i]);
  return divisors;
}

}  // namespace qwen25

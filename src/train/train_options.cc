#include "train/train_options.h"

#include <algorithm>
#include <cmath>
#include <concepts>
#include <limits>
#include <optional>
#include <sstream>
#include <utility>

#include "base/file.h"

// toml++ as headers only and without exceptions: a parse error is a value there.
#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

namespace qwen25 {
namespace {

enum class Effect {
  kResult,     // changes the numbers of a run
  kLength,     // changes them through the schedule
  kExecution,  // does not change them
};

// The only list of options, used by reader, writer, flags and the comparison with a checkpoint.
template <typename Options, typename Visitor>
void VisitOptions(Options& o, Visitor&& visit) {
  using enum Effect;
  visit("model.preset", o.preset, kExecution);  // CheckSameModel compares the shape
  visit("model.config", o.config, kExecution);
  visit("model.initial", o.initial, kExecution);
  visit("model.vocab_size", o.vocab_size, kExecution);
  visit("model.eos_token_id", o.eos_token_id, kExecution);
  visit("model.routing", o.routing, kExecution);
  visit("model.routing_from_step", o.routing_from_step, kResult);
  visit("objective.kind", o.objective, kResult);
  visit("objective.temperature", o.temperature, kResult);
  visit("objective.causal", o.causal, kResult);
  visit("data.train", o.train_data, kExecution);  // the loader compares content, not names
  visit("data.train_weights", o.train_weights, kResult);
  visit("data.validation", o.validation_data, kExecution);
  visit("data.tokenizer", o.tokenizer, kExecution);
  visit("batch.sequence_length", o.sequence_length, kResult);
  visit("batch.tokens_per_step", o.tokens_per_step, kResult);
  visit("batch.micro_batch_tokens", o.micro_batch_tokens, kResult);
  visit("batch.recompute", o.recompute, kExecution);
  visit("run.max_steps", o.max_steps, kLength);
  visit("run.max_tokens", o.max_tokens, kLength);
  visit("run.max_minutes", o.max_minutes, kLength);
  visit("run.seed", o.seed, kResult);
  visit("run.validate_every", o.validate_every, kExecution);
  visit("run.validation_tokens", o.validation_tokens, kExecution);
  visit("run.checkpoint_every", o.checkpoint_every, kExecution);
  visit("run.keep_checkpoints", o.keep_checkpoints, kExecution);
  visit("run.measure_peak", o.measure_peak, kExecution);
  visit("run.output", o.output, kExecution);
  visit("optimizer.kind", o.optimizer.kind, kResult);
  visit("optimizer.learning_rate", o.optimizer.learning_rate, kResult);
  visit("optimizer.muon_learning_rate", o.optimizer.muon_learning_rate, kResult);
  visit("optimizer.beta1", o.optimizer.beta1, kResult);
  visit("optimizer.beta2", o.optimizer.beta2, kResult);
  visit("optimizer.epsilon", o.optimizer.epsilon, kResult);
  visit("optimizer.weight_decay", o.optimizer.weight_decay, kResult);
  visit("optimizer.muon_momentum", o.optimizer.muon_momentum, kResult);
  visit("optimizer.clip_norm", o.optimizer.clip_norm, kResult);
  visit("schedule.kind", o.schedule.kind, kResult);
  visit("schedule.warmup_steps", o.schedule.warmup_steps, kResult);
  visit("schedule.min_ratio", o.schedule.min_ratio, kResult);
  visit("schedule.decay_fraction", o.schedule.decay_fraction, kResult);
}

constexpr std::pair<Objective, std::string_view> kObjectives[] = {
    {Objective::kNextToken, "next-token"},
    {Objective::kContrastive, "contrastive"},
};

std::string_view NameOf(Objective objective) {
  return ObjectiveName(objective);
}
std::string_view NameOf(OptimizerKind kind) {
  return OptimizerKindName(kind);
}
std::string_view NameOf(ScheduleKind kind) {
  return ScheduleKindName(kind);
}
Status SetByName(std::string_view name, Objective& out) {
  QWEN25_TRY(out, ParseObjective(name));
  return {};
}
Status SetByName(std::string_view name, OptimizerKind& out) {
  QWEN25_TRY(out, ParseOptimizerKind(name));
  return {};
}
Status SetByName(std::string_view name, ScheduleKind& out) {
  QWEN25_TRY(out, ParseScheduleKind(name));
  return {};
}
template <typename T>
concept NamedEnum = std::is_enum_v<T>;

// Describes the values of a type, for messages.
template <typename T>
std::string Wanted() {
  if constexpr (std::same_as<T, bool>) {
    return "true or false";
  } else if constexpr (std::integral<T>) {
    return fmt::format(
        "an integer from {} to {}", std::numeric_limits<T>::min(),
        std::min<uint64_t>(std::numeric_limits<T>::max(), std::numeric_limits<int64_t>::max()));
  } else if constexpr (std::floating_point<T>) {
    return "a number";
  } else if constexpr (std::same_as<T, std::vector<std::string>>) {
    return "a list of strings";
  } else if constexpr (std::same_as<T, std::vector<double>>) {
    return "a list of numbers";
  } else {
    return "a string";
  }
}

// Sets `out` from a TOML value; false if it has another type.
template <typename T>
bool SetFromToml(const toml::node& node, T& out) {
  if constexpr (std::same_as<T, bool>) {
    const std::optional<bool> value = node.value_exact<bool>();
    if (value) out = *value;
    return value.has_value();
  } else if constexpr (std::integral<T>) {
    const std::optional<int64_t> value = node.value_exact<int64_t>();
    if (!value || !std::in_range<T>(*value)) return false;
    out = static_cast<T>(*value);
    return true;
  } else if constexpr (std::floating_point<T>) {
    if (!node.is_number()) return false;
    out = *node.value<double>();
    return true;
  } else if constexpr (std::same_as<T, std::vector<std::string>>) {
    const toml::array* array = node.as_array();
    if (array == nullptr) return false;
    std::vector<std::string> values;
    for (const toml::node& element : *array) {
      const std::optional<std::string> value = element.value_exact<std::string>();
      if (!value) return false;
      values.push_back(*value);
    }
    out = std::move(values);
    return true;
  } else if constexpr (std::same_as<T, std::vector<double>>) {
    const toml::array* array = node.as_array();
    if (array == nullptr) return false;
    std::vector<double> values;
    for (const toml::node& element : *array) {
      if (!element.is_number()) return false;
      values.push_back(*element.value<double>());
    }
    out = std::move(values);
    return true;
  } else {
    const std::optional<std::string> value = node.value_exact<std::string>();
    if (value) out = *value;
    return value.has_value();
  }
}

std::string TomlText(const toml::node& node) {
  std::ostringstream out;
  node.visit([&](const auto& value) { out << value; });
  return out.str();
}

template <typename T>
Json ToJsonValue(const T& value) {
  if constexpr (NamedEnum<T>) {
    return std::string(NameOf(value));
  } else {
    return value;
  }
}

std::vector<std::string> SplitAtCommas(std::string_view text) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const size_t comma = std::min(text.find(','), text.size());
    if (comma > 0) parts.emplace_back(text.substr(0, comma));
    text.remove_prefix(std::min(text.size(), comma + 1));
  }
  return parts;
}

std::string KnownKeys() {
  std::string keys;
  TrainOptions options;
  VisitOptions(options, [&](std::string_view key, auto&, Effect) {
    if (!keys.empty()) keys += ", ";
    keys += key;
  });
  return keys;
}

// Sets the option `key`; `where` is the place for messages.
Status SetFromNode(std::string_view key, const toml::node& node, std::string_view where,
                   TrainOptions& options) {
  bool known = false;
  Status status;
  VisitOptions(options, [&]<typename T>(std::string_view name, T& field, Effect) {
    if (name != key) return;
    known = true;
    if constexpr (NamedEnum<T>) {
      const std::optional<std::string> text = node.value_exact<std::string>();
      status = text ? SetByName(*text, field) : InvalidArgument("expected a string");
      if (!status.ok()) status = InvalidArgument("{}: {}: {}", where, key, status.message());
    } else if (!SetFromToml(node, field)) {
      status = InvalidArgument("{}: {} is {}, expected {}", where, key, TomlText(node), Wanted<T>());
    }
  });
  if (!known) return InvalidArgument("{}: there is no option \"{}\"; there are {}", where, key, KnownKeys());
  return status;
}

Status CheckMultiple(const char* name, uint64_t value, uint32_t sequence_length) {
  if (value > 0 && value % sequence_length == 0) return {};
  return InvalidArgument("{} is {}, expected a multiple of batch.sequence_length ({})", name, value,
                         sequence_length);
}

// The rules of contrastive training.
Status CheckContrastive(const TrainOptions& options) {
  if (!(options.temperature > 0) || !std::isfinite(options.temperature)) {
    return InvalidArgument("objective.temperature is {}, expected a positive number", options.temperature);
  }
  if (options.micro_batch_tokens != options.tokens_per_step) {
    return InvalidArgument(
        "batch.micro_batch_tokens is {} and batch.tokens_per_step {}, expected equal values: contrastive "
        "training runs a step in one batch",
        options.micro_batch_tokens, options.tokens_per_step);
  }
  if (options.tokens_per_step < 4 * uint64_t{options.sequence_length}) {
    return InvalidArgument(
        "batch.tokens_per_step is {}, expected at least 4 times batch.sequence_length ({}), room for two "
        "pairs",
        options.tokens_per_step, options.sequence_length);
  }
  return {};
}

}  // namespace

std::string_view ObjectiveName(Objective objective) {
  return std::ranges::find(kObjectives, objective, &std::pair<Objective, std::string_view>::first)->second;
}

Result<Objective> ParseObjective(std::string_view name) {
  const auto found = std::ranges::find(kObjectives, name, &std::pair<Objective, std::string_view>::second);
  if (found != std::end(kObjectives)) return found->first;
  return InvalidArgument("\"{}\" is not an objective; expected next-token or contrastive", name);
}

Status TrainOptions::Validate() const {
  if (train_data.empty()) return InvalidArgument("data.train is empty, expected at least one token shard");
  if (!train_weights.empty() && train_weights.size() != train_data.size()) {
    return InvalidArgument(
        "data.train_weights has {} entries and data.train {}, expected one weight per entry, or none",
        train_weights.size(), train_data.size());
  }
  for (const double weight : train_weights) {
    if (!(weight > 0) || !std::isfinite(weight)) {
      return InvalidArgument("data.train_weights holds {}, expected positive numbers", weight);
    }
  }
  if (output.empty())
    return InvalidArgument("run.output is empty, expected the folder that the run writes to");
  if (!config.empty() && !initial.empty()) {
    return InvalidArgument(
        "model.config and model.initial are both set, expected one: a configuration for new weights, or "
        "weights");
  }
  if (preset.empty() && config.empty() && initial.empty()) {
    return InvalidArgument("no model is given; set model.preset, model.config or model.initial");
  }
  if (sequence_length < 2) {
    return InvalidArgument("batch.sequence_length is {}, expected at least 2 tokens", sequence_length);
  }
  QWEN25_RETURN_IF_ERROR(CheckMultiple("batch.tokens_per_step", tokens_per_step, sequence_length));
  QWEN25_RETURN_IF_ERROR(CheckMultiple("batch.micro_batch_tokens", micro_batch_tokens, sequence_length));
  if (objective == Objective::kContrastive) QWEN25_RETURN_IF_ERROR(CheckContrastive(*this));
  constexpr uint64_t kMaxTokens = uint64_t{1} << 31;  // rows of a batch are counted in 32 bits
  if (tokens_per_step > kMaxTokens) {
    return InvalidArgument("batch.tokens_per_step is {}, expected at most {}", tokens_per_step, kMaxTokens);
  }
  if (!(max_minutes >= 0) || std::isinf(max_minutes)) {
    return InvalidArgument("run.max_minutes is {}, expected a positive number", max_minutes);
  }
  if ((max_steps > 0) + (max_tokens > 0) + (max_minutes > 0) != 1) {
    return InvalidArgument(
        "run.max_steps, run.max_tokens and run.max_minutes are {}, {} and {}, expected exactly one that is "
        "not 0",
        max_steps, max_tokens, max_minutes);
  }
  if (keep_checkpoints == 0) return InvalidArgument("run.keep_checkpoints is 0, expected at least 1");
  if (Status status = optimizer.Validate(); !status.ok())
    return InvalidArgument("optimizer.{}", status.message());
  if (Status status = schedule.Validate(); !status.ok())
    return InvalidArgument("schedule.{}", status.message());
  return {};
}

Status ParseRecipe(std::string_view text, std::string_view origin, TrainOptions& options) {
  const toml::parse_result parsed = toml::parse(text, origin);
  if (!parsed) {
    return InvalidArgument("{}:{}: not valid TOML: {}", origin, parsed.error().source().begin.line,
                           parsed.error().description());
  }
  TrainOptions changed = options;
  for (const auto& [section_key, section] : parsed.table()) {
    const toml::table* table = section.as_table();
    if (table == nullptr) {
      return InvalidArgument(
          "{}:{}: {} stands outside a section; expected [model], [objective], [data], [batch], [run], "
          "[optimizer] or [schedule] before it",
          origin, section.source().begin.line, section_key.str());
    }
    for (const auto& [key, node] : *table) {
      const std::string full_key = fmt::format("{}.{}", section_key.str(), key.str());
      const std::string where = fmt::format("{}:{}", origin, node.source().begin.line);
      QWEN25_RETURN_IF_ERROR(SetFromNode(full_key, node, where, changed));
    }
  }
  options = std::move(changed);
  return {};
}

Status ReadRecipe(const std::filesystem::path& path, TrainOptions& options) {
  QWEN25_TRY(const std::string text, ReadFile(path));
  return ParseRecipe(text, path.string(), options);
}

Status SetOption(std::string_view key, std::string_view value, TrainOptions& options) {
  std::string text(value);
  VisitOptions(options, [&]<typename T>(std::string_view name, T&, Effect) {
    if (name != key) return;
    if constexpr (std::same_as<T, std::vector<std::string>>) {
      text = Json(SplitAtCommas(value)).dump();  // a JSON list of strings is a TOML one
    } else if constexpr (std::same_as<T, std::vector<double>>) {
      text = fmt::format("[{}]", value);
    } else if constexpr (std::same_as<T, std::string> || NamedEnum<T>) {
      text = Json(value).dump(-1, ' ', false, Json::error_handler_t::replace);
    }
  });
  const toml::parse_result parsed = toml::parse(fmt::format("value = {}", text));
  const std::string where = fmt::format("option {}={}", key, value);
  if (!parsed || parsed.table().size() != 1) {
    const toml::value<std::string> as_text{text};
    return SetFromNode(key, as_text, where, options);  // not a TOML value: SetFromNode says what was expected
  }
  return SetFromNode(key, *parsed.table().get("value"), where, options);
}

std::string FormatRecipe(const TrainOptions& options) {
  std::string out, section;
  VisitOptions(options, [&](std::string_view key, const auto& field, Effect) {
    const size_t dot = key.find('.');
    if (key.substr(0, dot) != section) {
      section = key.substr(0, dot);
      out += fmt::format("{}[{}]\n", out.empty() ? "" : "\n", section);
    }
    out += fmt::format("{} = {}\n", key.substr(dot + 1), ToJsonValue(field).dump());
  });
  return out;
}

Json ResultOptions(const TrainOptions& options) {
  Json json = Json::object();
  const bool length_matters = options.schedule.kind != ScheduleKind::kConstant;
  VisitOptions(options, [&](const char* key, const auto& field, Effect effect) {
    if (effect == Effect::kResult || (effect == Effect::kLength && length_matters))
      json[key] = ToJsonValue(field);
  });
  return json;
}

Status CheckSameRun(const Json& saved, const TrainOptions& options) {
  const Json current = ResultOptions(options), defaults = ResultOptions(TrainOptions());
  std::string differences;
  for (const auto& [key, value] : current.items()) {
    auto found = saved.find(key);
    // Older checkpoints lack these options; their runs had the defaults.
    if (found == saved.end() &&
        (key == "data.train_weights" || key == "model.routing_from_step" || key.starts_with("objective."))) {
      found = defaults.find(key);
    }
    // As text: 1 and 1.0 differ only if the type of an option changed.
    const std::string before = found == saved.end() ? "absent" : found->dump();
    if (before == value.dump()) continue;
    differences +=
        fmt::format("{}{} was {} and is now {}", differences.empty() ? "" : "; ", key, before, value.dump());
  }
  if (differences.empty()) return {};
  return InvalidArgument("a resumed run must keep the options that affect its numbers, but {}", differences);
}

}  // namespace qwen25

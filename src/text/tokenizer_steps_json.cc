#include "text/tokenizer_steps_json.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>
#include <utility>

namespace qwen25 {
namespace {

template <typename Enum>
struct Name {
  const char* name;
  Enum value;
};

constexpr Name<NormalizerStep::Kind> kNormalizers[] = {
    {"NFC", NormalizerStep::Kind::kNfc},
    {"NFD", NormalizerStep::Kind::kNfd},
    {"NFKC", NormalizerStep::Kind::kNfkc},
    {"NFKD", NormalizerStep::Kind::kNfkd},
    {"Lowercase", NormalizerStep::Kind::kLowercase},
    {"StripAccents", NormalizerStep::Kind::kStripAccents},
    {"Strip", NormalizerStep::Kind::kStrip},
    {"Prepend", NormalizerStep::Kind::kPrepend},
    {"Replace", NormalizerStep::Kind::kReplace},
};
constexpr Name<SplitStep::Kind> kPreTokenizers[] = {
    {"ByteLevel", SplitStep::Kind::kByteLevel},   {"Split", SplitStep::Kind::kPattern},
    {"Digits", SplitStep::Kind::kDigits},         {"Punctuation", SplitStep::Kind::kPunctuation},
    {"Whitespace", SplitStep::Kind::kWhitespace}, {"WhitespaceSplit", SplitStep::Kind::kWhitespaceSplit},
    {"BertPreTokenizer", SplitStep::Kind::kBert}, {"CharDelimiterSplit", SplitStep::Kind::kDelimiter},
    {"Metaspace", SplitStep::Kind::kMetaspace},
};
constexpr Name<DecoderStep::Kind> kDecoders[] = {
    {"ByteLevel", DecoderStep::Kind::kByteLevel},
    {"Replace", DecoderStep::Kind::kReplace},
    {"ByteFallback", DecoderStep::Kind::kByteFallback},
    {"Fuse", DecoderStep::Kind::kFuse},
    {"Strip", DecoderStep::Kind::kStrip},
    {"Metaspace", DecoderStep::Kind::kMetaspace},
};
constexpr Name<SplitBehavior> kBehaviors[] = {
    {"Removed", SplitBehavior::kRemoved},
    {"Isolated", SplitBehavior::kIsolated},
    {"MergedWithPrevious", SplitBehavior::kMergedWithPrevious},
    {"MergedWithNext", SplitBehavior::kMergedWithNext},
    {"Contiguous", SplitBehavior::kContiguous},
};
constexpr Name<SplitStep::Prepend> kPrepends[] = {
    {"always", SplitStep::Prepend::kAlways},
    {"first", SplitStep::Prepend::kFirst},
    {"never", SplitStep::Prepend::kNever},
};

template <typename Enum, size_t n>
Result<Enum> ValueOf(const Name<Enum> (&names)[n], const std::string& name, std::string_view where) {
  for (const Name<Enum>& entry : names) {
    if (name == entry.name) return entry.value;
  }
  std::vector<std::string> handled;
  for (const Name<Enum>& entry : names) handled.push_back(entry.name);
  return Unsupported("{} is \"{}\"; handled are {}", where, name, fmt::join(handled, ", "));
}

template <typename Enum, size_t n>
const char* NameOf(const Name<Enum> (&names)[n], Enum value) {
  const auto found = std::find_if(std::begin(names), std::end(names),
                                  [&](const auto& entry) { return entry.value == value; });
  return found->name;  // every value has one
}

// {"String": text} or {"Regex": text}.
Result<TextPattern> ParsePattern(const Json& step, std::string_view where) {
  const Json pattern = step.contains("pattern") ? step["pattern"] : Json();
  for (const bool is_regex : {false, true}) {
    const char* key = is_regex ? "Regex" : "String";
    if (!pattern.is_object() || !pattern.contains(key) || !pattern[key].is_string()) continue;
    return TextPattern{pattern[key].get<std::string>(), is_regex};
  }
  return Corrupt("{} has no pattern {{\"String\": ..}} or {{\"Regex\": ..}}", where);
}

Json PatternJson(const TextPattern& pattern) {
  return {{pattern.is_regex ? "Regex" : "String", pattern.text}};
}

// The prepend_scheme of a Metaspace; in files before tokenizers 0.15, the flag add_prefix_space.
Result<SplitStep::Prepend> ParsePrepend(const Json& step, const std::string& where) {
  const bool prefix = ComponentFlag(step, "add_prefix_space", true);
  return ValueOf(kPrepends, ComponentText(step, "prepend_scheme", prefix ? "always" : "never"),
                 where + "'s prepend_scheme");
}

Result<NormalizerStep> ParseNormalizerStep(const Json& json, std::string_view origin) {
  const std::string where = fmt::format("{}: normalizer", origin);
  NormalizerStep step;
  QWEN25_TRY(step.kind, ValueOf(kNormalizers, ComponentType(json), where));
  if (step.kind == NormalizerStep::Kind::kReplace) {
    QWEN25_TRY(step.pattern, ParsePattern(json, where + " Replace"));
    step.content = ComponentText(json, "content");
  }
  if (step.kind == NormalizerStep::Kind::kPrepend) step.content = ComponentText(json, "prepend");
  if (step.kind == NormalizerStep::Kind::kStrip) {
    step.left = ComponentFlag(json, "strip_left", true);
    step.right = ComponentFlag(json, "strip_right", true);
  }
  return step;
}

Result<SplitStep> ParseSplitStep(const Json& json, std::string_view origin) {
  const std::string type = ComponentType(json), where = fmt::format("{}: pre_tokenizer", origin);
  SplitStep step;
  QWEN25_TRY(step.kind, ValueOf(kPreTokenizers, type, where));
  switch (step.kind) {
    case SplitStep::Kind::kByteLevel:
      step.add_prefix_space = ComponentFlag(json, "add_prefix_space", true);
      step.use_regex = ComponentFlag(json, "use_regex", true);
      step.trim_offsets = ComponentFlag(json, "trim_offsets", true);
      break;
    case SplitStep::Kind::kPattern: {
      QWEN25_TRY(step.pattern, ParsePattern(json, where + " Split"));
      step.invert = ComponentFlag(json, "invert", false);
      [[fallthrough]];
    }
    case SplitStep::Kind::kPunctuation: {
      QWEN25_TRY(step.behavior, ValueOf(kBehaviors, ComponentText(json, "behavior", "Isolated"),
                                        fmt::format("{} {}'s behavior", where, type)));
      break;
    }
    case SplitStep::Kind::kDigits:
      step.individual = ComponentFlag(json, "individual_digits", false);
      break;
    case SplitStep::Kind::kDelimiter:
      step.pattern.text = ComponentText(json, "delimiter");
      if (step.pattern.text.empty()) return Corrupt("{} CharDelimiterSplit has no delimiter", where);
      break;
    case SplitStep::Kind::kMetaspace: {
      step.replacement = ComponentText(json, "replacement", "\u2581");
      if (step.replacement.empty()) return Corrupt("{} Metaspace has an empty replacement", where);
      QWEN25_TRY(step.prepend, ParsePrepend(json, where + " Metaspace"));
      step.cuts = ComponentFlag(json, "split", true);
      break;
    }
    case SplitStep::Kind::kWhitespace:
    case SplitStep::Kind::kWhitespaceSplit:
    case SplitStep::Kind::kBert:
      break;
  }
  return step;
}

Result<DecoderStep> ParseDecoderStep(const Json& json, std::string_view origin) {
  const std::string where = fmt::format("{}: decoder", origin);
  DecoderStep step;
  QWEN25_TRY(step.kind, ValueOf(kDecoders, ComponentType(json), where));
  const auto count = [&](const char* key) {
    return json.contains(key) && json[key].is_number_unsigned() ? json[key].get<size_t>() : 0;
  };
  switch (step.kind) {
    case DecoderStep::Kind::kReplace: {
      QWEN25_TRY(step.pattern, ParsePattern(json, where + " Replace"));
      step.content = ComponentText(json, "content");
      break;
    }
    case DecoderStep::Kind::kStrip:
      step.content = ComponentText(json, "content");
      step.start = count("start");
      step.stop = count("stop");
      break;
    case DecoderStep::Kind::kMetaspace: {
      step.content = ComponentText(json, "replacement", "\u2581");
      QWEN25_TRY(step.prepend, ParsePrepend(json, where + " Metaspace"));
      step.cuts = ComponentFlag(json, "split", true);
      break;
    }
    case DecoderStep::Kind::kByteLevel:
    case DecoderStep::Kind::kByteFallback:
    case DecoderStep::Kind::kFuse:
      break;
  }
  return step;
}

Json StepJson(const NormalizerStep& step) {
  Json json = {{"type", NameOf(kNormalizers, step.kind)}};
  if (step.kind == NormalizerStep::Kind::kPrepend) json["prepend"] = step.content;
  if (step.kind == NormalizerStep::Kind::kReplace) {
    json["pattern"] = PatternJson(step.pattern);
    json["content"] = step.content;
  }
  if (step.kind == NormalizerStep::Kind::kStrip) {
    json["strip_left"] = step.left;
    json["strip_right"] = step.right;
  }
  return json;
}

Json StepJson(const SplitStep& step) {
  Json json = {{"type", NameOf(kPreTokenizers, step.kind)}};
  switch (step.kind) {
    case SplitStep::Kind::kByteLevel:
      json["add_prefix_space"] = step.add_prefix_space;
      json["trim_offsets"] = step.trim_offsets;
      json["use_regex"] = step.use_regex;
      break;
    case SplitStep::Kind::kPattern:
      json["pattern"] = PatternJson(step.pattern);
      json["behavior"] = NameOf(kBehaviors, step.behavior);
      json["invert"] = step.invert;
      break;
    case SplitStep::Kind::kPunctuation:
      json["behavior"] = NameOf(kBehaviors, step.behavior);
      break;
    case SplitStep::Kind::kDigits:
      json["individual_digits"] = step.individual;
      break;
    case SplitStep::Kind::kDelimiter:
      json["delimiter"] = step.pattern.text;
      break;
    case SplitStep::Kind::kMetaspace:
      json["replacement"] = step.replacement;
      json["prepend_scheme"] = NameOf(kPrepends, step.prepend);
      json["split"] = step.cuts;
      break;
    case SplitStep::Kind::kWhitespace:
    case SplitStep::Kind::kWhitespaceSplit:
    case SplitStep::Kind::kBert:
      break;
  }
  return json;
}

Json StepJson(const DecoderStep& step) {
  Json json = {{"type", NameOf(kDecoders, step.kind)}};
  switch (step.kind) {
    case DecoderStep::Kind::kByteLevel:
      json["add_prefix_space"] = false;
      json["trim_offsets"] = false;
      json["use_regex"] = false;
      break;
    case DecoderStep::Kind::kReplace:
      json["pattern"] = PatternJson(step.pattern);
      json["content"] = step.content;
      break;
    case DecoderStep::Kind::kStrip:
      json["content"] = step.content;
      json["start"] = step.start;
      json["stop"] = step.stop;
      break;
    case DecoderStep::Kind::kMetaspace:
      json["replacement"] = step.content;
      json["prepend_scheme"] = NameOf(kPrepends, step.prepend);
      json["split"] = step.cuts;
      break;
    case DecoderStep::Kind::kByteFallback:
    case DecoderStep::Kind::kFuse:
      break;
  }
  return json;
}

template <typename Step>
Json StepsJson(const std::vector<Step>& steps, const char* sequence_key) {
  if (steps.empty()) return Json();
  if (steps.size() == 1) return StepJson(steps[0]);
  Json list = Json::array();
  for (const Step& step : steps) list.push_back(StepJson(step));
  return {{"type", "Sequence"}, {sequence_key, std::move(list)}};
}

}  // namespace

std::string ComponentType(const Json& component) {
  if (component.is_null()) return "null";
  if (!component.is_object() || !component.contains("type") || !component["type"].is_string()) return "?";
  return component["type"].get<std::string>();
}

std::vector<Json> ComponentSteps(const Json& component, const char* sequence_key) {
  std::vector<Json> steps;
  if (component.is_null()) return steps;
  if (ComponentType(component) != "Sequence") return {component};
  if (!component.contains(sequence_key) || !component[sequence_key].is_array()) return {component};
  for (const Json& part : component[sequence_key]) {
    for (Json& step : ComponentSteps(part, sequence_key)) steps.push_back(std::move(step));
  }
  return steps;
}

std::vector<std::string> ComponentTypes(const std::vector<Json>& steps) {
  std::vector<std::string> types;
  for (const Json& step : steps) types.push_back(ComponentType(step));
  return types;
}

std::string ComponentText(const Json& object, const char* key, std::string_view absent) {
  return object.is_object() && object.contains(key) && object[key].is_string()
             ? object[key].get<std::string>()
             : std::string(absent);
}

bool ComponentFlag(const Json& object, const char* key, bool absent) {
  return object.is_object() && object.contains(key) && object[key].is_boolean() ? object[key].get<bool>()
                                                                                : absent;
}

Result<std::vector<NormalizerStep>> ParseNormalizer(const Json& component, std::string_view origin) {
  std::vector<NormalizerStep> steps;
  for (const Json& json : ComponentSteps(component, "normalizers")) {
    QWEN25_TRY(NormalizerStep step, ParseNormalizerStep(json, origin));
    steps.push_back(std::move(step));
  }
  return steps;
}

Result<std::vector<SplitStep>> ParsePreTokenizer(const Json& component, std::string_view origin) {
  std::vector<SplitStep> steps;
  for (const Json& json : ComponentSteps(component, "pretokenizers")) {
    QWEN25_TRY(SplitStep step, ParseSplitStep(json, origin));
    steps.push_back(std::move(step));
  }
  return steps;
}

Result<std::vector<DecoderStep>> ParseDecoder(const Json& component, std::string_view origin) {
  std::vector<DecoderStep> steps;
  for (const Json& json : ComponentSteps(component, "decoders")) {
    QWEN25_TRY(DecoderStep step, ParseDecoderStep(json, origin));
    steps.push_back(std::move(step));
  }
  return steps;
}

Json NormalizerJson(const std::vector<NormalizerStep>& steps) {
  return StepsJson(steps, "normalizers");
}
Json PreTokenizerJson(const std::vector<SplitStep>& steps) {
  return StepsJson(steps, "pretokenizers");
}
Json DecoderJson(const std::vector<DecoderStep>& steps) {
  return StepsJson(steps, "decoders");
}

}  // namespace qwen25

// The components around the model in tokenizer.json: normalizer, pre_tokenizer, post_processor, decoder. Each
// is recognised as one of the forms that this program handles, or refused by name.
#include <fmt/ranges.h>

#include <algorithm>

#include "text/tokenizer_files.h"

namespace qwen25 {
namespace {

// The "type" of a component; "null" for none.
std::string TypeOf(const Json& component) {
  if (component.is_null()) return "null";
  if (!component.is_object() || !component.contains("type") || !component["type"].is_string()) return "?";
  return component["type"].get<std::string>();
}

// A component as the steps it consists of: none for null, those of a Sequence, or itself.
std::vector<Json> Steps(const Json& component, const char* sequence_key) {
  std::vector<Json> steps;
  if (component.is_null()) return steps;
  if (TypeOf(component) != "Sequence") return {component};
  if (!component.contains(sequence_key) || !component[sequence_key].is_array()) return {component};
  for (const Json& part : component[sequence_key]) {
    for (Json& step : Steps(part, sequence_key)) steps.push_back(std::move(step));
  }
  return steps;
}

std::vector<std::string> Types(const std::vector<Json>& steps) {
  std::vector<std::string> types;
  for (const Json& step : steps) types.push_back(TypeOf(step));
  return types;
}

// object[key] as a string or bool; another type counts as absent, which no form accepts.
std::string Text(const Json& object, const char* key) {
  return object.is_object() && object.contains(key) && object[key].is_string()
             ? object[key].get<std::string>()
             : std::string();
}
bool Flag(const Json& object, const char* key, bool absent) {
  return object.contains(key) && object[key].is_boolean() ? object[key].get<bool>() : absent;
}

// {"type": "Replace", "pattern": {"String": from}, "content": to}
bool IsReplace(const Json& step, std::string_view from, std::string_view to) {
  return TypeOf(step) == "Replace" && step.contains("pattern") && Text(step["pattern"], "String") == from &&
         Text(step, "content") == to;
}

Status ParseByteLevel(const TokenizerPipeline& pipeline, std::string_view origin, TokenizerSpec& spec) {
  const std::vector<Json> steps = Steps(pipeline.pre_tokenizer, "pretokenizers");
  const Json& last = steps.back();
  const bool digits = TypeOf(steps[0]) == "Digits";
  if (TypeOf(last) != "ByteLevel" || steps.size() > 2 ||
      (steps.size() == 2 && TypeOf(steps[0]) != "Split" && !digits)) {
    return Unsupported(
        "{}: pre_tokenizer is {}; handled are ByteLevel, and Split or Digits with ByteLevel after it", origin,
        Types(steps));
  }
  if (Flag(last, "add_prefix_space", true)) {
    return Unsupported("{}: pre_tokenizer ByteLevel has add_prefix_space true; only false is handled",
                       origin);
  }
  const bool own_pattern = Flag(last, "use_regex", true);
  if (steps.size() == 1 && own_pattern) {
    spec.pre_tokenizer = PreTokenizerKind::kGpt2;
    return {};
  }
  if (digits && own_pattern && Flag(steps[0], "individual_digits", false)) {
    spec.pre_tokenizer = PreTokenizerKind::kDigitsGpt2;
    return {};
  }
  if (digits) {
    return Unsupported(
        "{}: pre_tokenizer Digits is handled with individual_digits and ByteLevel's own pattern", origin);
  }
  if (steps.size() == 1 || own_pattern) {
    return Unsupported("{}: pre_tokenizer ByteLevel has use_regex {} {} a Split before it", origin,
                       own_pattern, steps.size() == 1 ? "without" : "with");
  }
  const Json& split = steps[0];
  const std::string behavior = Text(split, "behavior");
  const bool invert = Flag(split, "invert", false);
  const std::string pattern = split.contains("pattern") ? Text(split["pattern"], "Regex") : "";
  // The patterns match everything, so keeping the matches and isolating them is the same.
  if (!(behavior == "Isolated" && !invert) && !(behavior == "Removed" && invert)) {
    return Unsupported("{}: pre_tokenizer Split has behavior \"{}\" and invert {}; handled is Isolated",
                       origin, behavior, invert);
  }
  if (pattern == kQwen2Pattern) {
    spec.pre_tokenizer = PreTokenizerKind::kQwen2;
  } else if (pattern == kGpt2Pattern) {
    spec.pre_tokenizer = PreTokenizerKind::kGpt2;
  } else {
    return Unsupported("{}: pre_tokenizer Split has the pattern {}; handled are those of Qwen2 and GPT-2",
                       origin, pattern.empty() ? "(no Regex)" : pattern);
  }
  return {};
}

Status ParseDecoder(const Json& decoder, std::string_view origin, const TokenizerSpec& spec) {
  const std::vector<Json> steps = Steps(decoder, "decoders");
  bool known;
  if (spec.model == BpeModel::kByteLevel) {
    known = steps.empty() || (steps.size() == 1 && TypeOf(steps[0]) == "ByteLevel");
  } else {
    known = steps.size() == 4 && IsReplace(steps[0], kSpaceMark, " ") && TypeOf(steps[1]) == "ByteFallback" &&
            TypeOf(steps[2]) == "Fuse" && TypeOf(steps[3]) == "Strip" && Text(steps[3], "content") == " " &&
            steps[3].value("start", Json()) == Json(1) && steps[3].value("stop", Json()) == Json(0);
  }
  if (known) return {};
  return Unsupported(
      "{}: decoder is {}; handled are ByteLevel for byte-level models, and Replace, ByteFallback, "
      "Fuse, Strip (one space in front) for sentencepiece models",
      origin, Types(steps));
}

// Appends the ids that the template's entry `name` stands for.
Status AppendTemplateIds(const Json& component, const std::string& name, std::string_view origin,
                         std::vector<int32_t>& ids) {
  const Json& tokens = component.contains("special_tokens") ? component["special_tokens"] : Json();
  if (tokens.is_object() && tokens.contains(name) && tokens[name].is_object() &&
      tokens[name].contains("ids") && tokens[name]["ids"].is_array()) {
    bool good = true;
    for (const Json& id : tokens[name]["ids"]) {
      const bool in_range = id.is_number_integer() && id >= 0 && id <= kMaxTokenId;
      good &= in_range;
      if (in_range) ids.push_back(id.get<int32_t>());
    }
    if (good) return {};
  }
  return Corrupt("{}: post_processor: special_tokens gives no list of ids for \"{}\"", origin, name);
}

Status ParseTemplate(const Json& component, std::string_view origin, TokenizerSpec& spec) {
  if (!component.contains("single") || !component["single"].is_array()) {
    return Corrupt("{}: post_processor TemplateProcessing has no list \"single\"", origin);
  }
  bool after_sequence = false;
  for (const Json& part : component["single"]) {
    if (part.is_object() && part.contains("Sequence")) {
      if (after_sequence) return Unsupported("{}: post_processor: \"single\" has two sequences", origin);
      after_sequence = true;
    } else if (part.is_object() && part.contains("SpecialToken")) {
      QWEN25_RETURN_IF_ERROR(AppendTemplateIds(component, Text(part["SpecialToken"], "id"), origin,
                                               after_sequence ? spec.suffix_ids : spec.prefix_ids));
    } else {
      return Corrupt("{}: post_processor: an entry of \"single\" is neither Sequence nor SpecialToken",
                     origin);
    }
  }
  return {};
}

Json TemplateJson(const TokenizerSpec& spec) {
  Json single = Json::array(), tokens = Json::object();
  const auto add = [&](int32_t id) {
    std::string content =
        spec.tokens.size() > static_cast<size_t>(id) ? spec.tokens[static_cast<size_t>(id)] : "";
    for (const AddedToken& added : spec.added_tokens) {
      if (added.id == id) content = added.content;
    }
    single.push_back({{"SpecialToken", {{"id", content}, {"type_id", 0}}}});
    tokens[content] = {{"id", content}, {"ids", {id}}, {"tokens", {content}}};
  };
  for (const int32_t id : spec.prefix_ids) add(id);
  single.push_back({{"Sequence", {{"id", "A"}, {"type_id", 0}}}});
  for (const int32_t id : spec.suffix_ids) add(id);
  Json pair = single;  // the second sequence is framed like the first
  for (Json part : single) {
    for (auto& [kind, body] : part.items()) {
      body["type_id"] = 1;
      if (kind == "Sequence") body["id"] = "B";
    }
    pair.push_back(std::move(part));
  }
  return {{"type", "TemplateProcessing"}, {"single", single}, {"pair", pair}, {"special_tokens", tokens}};
}

}  // namespace

Status ParsePipeline(const TokenizerPipeline& pipeline, std::string_view origin, TokenizerSpec& spec) {
  const std::vector<Json> normalizer = Steps(pipeline.normalizer, "normalizers");
  if (Steps(pipeline.pre_tokenizer, "pretokenizers").empty()) {
    spec.model = BpeModel::kSentencePiece;
    if (normalizer.size() != 2 || TypeOf(normalizer[0]) != "Prepend" ||
        Text(normalizer[0], "prepend") != kSpaceMark || !IsReplace(normalizer[1], " ", kSpaceMark)) {
      return Unsupported(
          "{}: no pre_tokenizer, and normalizer is {}; handled without a pre_tokenizer is Prepend \"{}\", "
          "then Replace \" \" by \"{}\"",
          origin, Types(normalizer), kSpaceMark, kSpaceMark);
    }
  } else {
    spec.model = BpeModel::kByteLevel;
    QWEN25_RETURN_IF_ERROR(ParseByteLevel(pipeline, origin, spec));
    spec.nfc = normalizer.size() == 1 && TypeOf(normalizer[0]) == "NFC";
    if (!spec.nfc && !normalizer.empty()) {
      return Unsupported("{}: normalizer is {}; handled before a byte-level model are NFC and none", origin,
                         Types(normalizer));
    }
  }
  QWEN25_RETURN_IF_ERROR(ParseDecoder(pipeline.decoder, origin, spec));
  bool has_template = false;
  for (const Json& step : Steps(pipeline.post_processor, "processors")) {
    if (TypeOf(step) == "ByteLevel") continue;  // changes offsets, not ids
    if (TypeOf(step) != "TemplateProcessing" || has_template) {
      return Unsupported(
          "{}: post_processor has the step {}; handled are ByteLevel and one TemplateProcessing", origin,
          TypeOf(step));
    }
    has_template = true;
    QWEN25_RETURN_IF_ERROR(ParseTemplate(step, origin, spec));
  }
  return {};
}

TokenizerPipeline MakePipeline(const TokenizerSpec& spec) {
  TokenizerPipeline out;
  const bool has_template = !spec.prefix_ids.empty() || !spec.suffix_ids.empty();
  if (has_template) out.post_processor = TemplateJson(spec);
  if (spec.model == BpeModel::kSentencePiece) {
    const auto replace = [](std::string_view from, std::string_view to) {
      return Json{{"type", "Replace"}, {"pattern", {{"String", from}}}, {"content", to}};
    };
    out.normalizer = {
        {"type", "Sequence"},
        {"normalizers", {{{"type", "Prepend"}, {"prepend", kSpaceMark}}, replace(" ", kSpaceMark)}}};
    out.decoder = {{"type", "Sequence"},
                   {"decoders",
                    {replace(kSpaceMark, " "),
                     {{"type", "ByteFallback"}},
                     {{"type", "Fuse"}},
                     {{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}}}}};
    return out;
  }
  const auto byte_level = [](bool use_regex) {
    return Json{{"type", "ByteLevel"},
                {"add_prefix_space", false},
                {"trim_offsets", false},
                {"use_regex", use_regex}};
  };
  if (spec.nfc) out.normalizer = {{"type", "NFC"}};
  if (spec.pre_tokenizer == PreTokenizerKind::kGpt2) {
    out.pre_tokenizer = byte_level(true);
  } else if (spec.pre_tokenizer == PreTokenizerKind::kDigitsGpt2) {
    const Json digits = {{"type", "Digits"}, {"individual_digits", true}};
    out.pre_tokenizer = {{"type", "Sequence"}, {"pretokenizers", {digits, byte_level(true)}}};
  } else {
    const Json split = {{"type", "Split"},
                        {"pattern", {{"Regex", kQwen2Pattern}}},
                        {"behavior", "Isolated"},
                        {"invert", false}};
    out.pre_tokenizer = {{"type", "Sequence"}, {"pretokenizers", {split, byte_level(false)}}};
  }
  out.decoder = byte_level(false);
  if (!has_template) out.post_processor = byte_level(false);
  return out;
}

}  // namespace qwen25

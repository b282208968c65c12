// The components around the model in tokenizer.json: normalizer, pre_tokenizer, post_processor, decoder. Each
// is read into steps, or refused by name.
#include <algorithm>

#include "text/tokenizer_files.h"
#include "text/tokenizer_steps_json.h"

namespace qwen25 {
namespace {

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
      QWEN25_RETURN_IF_ERROR(AppendTemplateIds(component, ComponentText(part["SpecialToken"], "id"), origin,
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

// {"type": "RobertaProcessing" or "BertProcessing", "cls": ["<s>", 0], "sep": ["</s>", 2]}
Status ParseClassifierFrame(const Json& component, std::string_view origin, TokenizerSpec& spec) {
  for (const auto& [key, ids] : {std::pair{"cls", &spec.prefix_ids}, {"sep", &spec.suffix_ids}}) {
    const Json token = component.contains(key) ? component[key] : Json();
    if (!token.is_array() || token.size() != 2 || !token[1].is_number_integer() || token[1] < 0 ||
        token[1] > kMaxTokenId) {
      return Corrupt("{}: post_processor {} has no \"{}\": [token, id]", origin, ComponentType(component),
                     key);
    }
    ids->push_back(token[1].get<int32_t>());
  }
  return {};
}

Status ParsePostProcessor(const Json& component, std::string_view origin, TokenizerSpec& spec) {
  bool has_frame = false;
  for (const Json& step : ComponentSteps(component, "processors")) {
    const std::string type = ComponentType(step);
    if (type == "ByteLevel") continue;  // changes offsets, not ids
    const bool is_template = type == "TemplateProcessing";
    if ((!is_template && type != "RobertaProcessing" && type != "BertProcessing") || has_frame) {
      return Unsupported(
          "{}: post_processor has the step {}; handled are ByteLevel and one of TemplateProcessing, "
          "RobertaProcessing and BertProcessing",
          origin, type);
    }
    has_frame = true;
    QWEN25_RETURN_IF_ERROR(is_template ? ParseTemplate(step, origin, spec)
                                       : ParseClassifierFrame(step, origin, spec));
  }
  spec.post_processor = component;
  return {};
}

}  // namespace

Status ParsePipeline(const TokenizerPipeline& pipeline, std::string_view origin, TokenizerSpec& spec) {
  QWEN25_TRY(spec.normalizer, ParseNormalizer(pipeline.normalizer, origin));
  QWEN25_TRY(spec.pre_tokenizer, ParsePreTokenizer(pipeline.pre_tokenizer, origin));
  QWEN25_TRY(spec.decoder, ParseDecoder(pipeline.decoder, origin));
  const bool byte_level = std::ranges::any_of(
      spec.pre_tokenizer, [](const SplitStep& step) { return step.kind == SplitStep::Kind::kByteLevel; });
  spec.model = byte_level ? BpeModel::kByteLevel : BpeModel::kCharacters;
  return ParsePostProcessor(pipeline.post_processor, origin, spec);
}

TokenizerPipeline MakePipeline(const TokenizerSpec& spec) {
  const std::vector<DecoderStep> byte_level = {{.kind = DecoderStep::Kind::kByteLevel}};
  const bool plain = spec.model == BpeModel::kByteLevel;
  TokenizerPipeline out;
  out.normalizer = NormalizerJson(spec.normalizer);
  out.pre_tokenizer = PreTokenizerJson(spec.pre_tokenizer);
  out.decoder = DecoderJson(plain ? byte_level : spec.decoder);
  if (!spec.post_processor.is_null()) {
    out.post_processor = spec.post_processor;
  } else if (!spec.prefix_ids.empty() || !spec.suffix_ids.empty()) {
    out.post_processor = TemplateJson(spec);
  } else if (plain) {
    out.post_processor = DecoderJson(byte_level);
  }
  return out;
}

}  // namespace qwen25

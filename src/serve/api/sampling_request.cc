#include "serve/api/sampling_request.h"

#include <algorithm>
#include <charconv>

#include "serve/api/request_json.h"

namespace qwen25 {
namespace {

constexpr size_t kMaxStops = 16, kMaxStopBytes = 1024, kMaxChoices = 1024, kMaxPatternBytes = size_t{1} << 20;
constexpr int64_t kMaxDeadlineMs = 24 * 3600 * 1000;

// An id as Python writes it: decimal, without signs and leading zeros.
std::optional<int32_t> TokenId(const std::string& text) {
  int32_t id = 0;
  const char* end = text.data() + text.size();
  const auto [stop, problem] = std::from_chars(text.data(), end, id);
  const bool is_plain = !text.empty() && text[0] != '-' && (text[0] != '0' || text.size() == 1);
  if (!is_plain || problem != std::errc() || stop != end) return std::nullopt;
  return id;
}

void ReadLogitBias(ObjectReader& body, std::vector<std::pair<int32_t, float>>& out) {
  const Json* biases = body.Find("logit_bias");
  if (biases == nullptr) return;
  if (!biases->is_object()) return body.Refuse("logit_bias", "an object of token ids and numbers");
  for (const auto& [key, value] : biases->items()) {
    const std::string path = fmt::format("logit_bias.{}", key.substr(0, 40));
    const std::optional<int32_t> id = TokenId(key);
    if (!id.has_value()) {
      return body.Fail(path, fmt::format("{} names no token: expected an id such as \"1234\".", path));
    }
    constexpr double kLargest = 100;
    const double bias = value.is_number() ? value.get<double>() : 2 * kLargest;
    if (!(bias >= -kLargest && bias <= kLargest)) {
      return body.Fail(path, fmt::format("{} is {}, expected a number from {} to {}.", path,
                                         DescribeJson(value), -kLargest, kLargest));
    }
    out.emplace_back(*id, static_cast<float>(bias));
  }
  std::ranges::sort(out);
}

}  // namespace

void ReadStops(ObjectReader& body, std::string_view key, std::vector<std::string>& out) {
  const Json* stop = body.Find(key);
  if (stop == nullptr) return;
  if (!stop->is_string() && !stop->is_array()) return body.Refuse(key, "a string or an array of strings");
  const Json texts = stop->is_array() ? *stop : Json::array({*stop});
  if (texts.size() > kMaxStops) {
    return body.Fail(key,
                     fmt::format("{} has {} texts, at most {} are accepted.", key, texts.size(), kMaxStops));
  }
  for (size_t i = 0; i < texts.size(); ++i) {
    const std::string path = stop->is_array() ? fmt::format("{}[{}]", key, i) : std::string(key);
    const size_t size = texts[i].is_string() ? texts[i].get_ref<const std::string&>().size() : 0;
    if (size == 0 || size > kMaxStopBytes) {
      return body.Fail(path, fmt::format("{} is {}, expected a string of 1 to {} bytes.", path,
                                         DescribeJson(texts[i]), kMaxStopBytes));
    }
    out.push_back(texts[i].get<std::string>());
  }
}

void ReadAboveZero(ObjectReader& body, std::string_view key, double high, std::optional<double>& out) {
  body.Read(key, 0, high, out);
  if (body.ok() && out == 0.0) body.Refuse(key, fmt::format("a number above 0 and at most {}", high));
}

namespace {

// Takes note of a constraint; a second one is an error.
void SetConstraint(ObjectReader& body, OutputConstraint::Kind kind, std::string_view field,
                   OutputConstraint& out) {
  if (!body.ok() || kind == OutputConstraint::Kind::kNone) return;
  if (out.kind != OutputConstraint::Kind::kNone) {
    return body.Fail(field,
                     fmt::format("{} and {} both say what form the text must have; leave one of them out.",
                                 out.field, field));
  }
  out.kind = kind;
  out.field = field;
}

// The members of a schema; `field` is what messages call it.
void ReadSchema(ObjectReader& reader, std::string_view field, OutputConstraint& out) {
  constexpr size_t kMaxNameBytes = 64;
  reader.Read("name", out.name, 1, kMaxNameBytes);
  reader.Read("strict", out.strict);
  reader.Ignore(ObjectReader::Kind::kText, {"description"});
  const Json* tree = reader.Find("schema");
  reader.Finish();
  if (!reader.ok()) return;
  if (tree == nullptr || !tree->is_object()) return reader.Refuse("schema", "an object: a JSON Schema");
  out.schema = *tree;
  SetConstraint(reader, OutputConstraint::Kind::kJsonSchema, field, out);
}

// Reads the type of a format; "" after an error.
std::string ReadFormatType(ObjectReader& format) {
  std::string type;
  format.Read("type", {"text", "json_object", "json_schema"}, type);
  if (format.ok() && type.empty()) format.Refuse("type", "one of text, json_object, json_schema");
  return type;
}

void ReadResponseFormat(ObjectReader& body, OutputConstraint& out) {
  const Json* value = body.Find("response_format");
  if (value == nullptr) return;
  ObjectReader format(*value, "response_format", body.error());
  const std::string type = ReadFormatType(format);
  const Json* wrapped = format.Find("json_schema");
  format.Finish();
  if (!format.ok() || type == "text") return;
  if (type == "json_object") {
    return SetConstraint(body, OutputConstraint::Kind::kJsonObject, "response_format", out);
  }
  if (wrapped == nullptr) return format.Refuse("json_schema", "an object with \"name\" and \"schema\"");
  ObjectReader schema(*wrapped, "response_format.json_schema", body.error());
  ReadSchema(schema, "response_format", out);
  if (schema.ok() && out.name.empty()) schema.Refuse("name", "a name for the schema");
}

void ReadGuidedJson(ObjectReader& body, OutputConstraint& out) {
  const Json* guided = body.Find("guided_json");
  if (guided == nullptr) return;
  Json schema = *guided;
  if (guided->is_string()) {
    ApiResult<Json> parsed = ParseEmbeddedJson(guided->get_ref<const std::string&>(), "guided_json");
    if (!parsed.ok()) {
      body.error() = parsed.error();
      return;
    }
    schema = std::move(*parsed);
  }
  if (!schema.is_object()) return body.Refuse("guided_json", "a JSON Schema, or a string that holds one");
  SetConstraint(body, OutputConstraint::Kind::kJsonSchema, "guided_json", out);
  out.schema = std::move(schema);
}

void ReadGuidedChoice(ObjectReader& body, OutputConstraint& out) {
  const Json* choices = body.Find("guided_choice");
  if (choices == nullptr) return;
  const auto is_text = [](const Json& choice) { return choice.is_string() && choice != ""; };
  if (!choices->is_array() || choices->empty() || choices->size() > kMaxChoices ||
      !std::ranges::all_of(*choices, is_text)) {
    return body.Refuse("guided_choice", fmt::format("an array of 1 to {} strings, none empty", kMaxChoices));
  }
  SetConstraint(body, OutputConstraint::Kind::kChoice, "guided_choice", out);
  out.choices = choices->get<std::vector<std::string>>();
}

}  // namespace

SamplingOptions SamplingRequest::ApplyTo(SamplingOptions defaults) const {
  if (temperature) defaults.temperature = static_cast<float>(*temperature);
  if (top_p) defaults.top_p = static_cast<float>(*top_p);
  if (min_p) defaults.min_p = static_cast<float>(*min_p);
  if (repetition_penalty) defaults.repetition_penalty = static_cast<float>(*repetition_penalty);
  if (top_k) defaults.top_k = static_cast<uint32_t>(*top_k);
  if (seed) defaults.seed = static_cast<uint64_t>(*seed);
  defaults.presence_penalty = static_cast<float>(presence_penalty);
  defaults.frequency_penalty = static_cast<float>(frequency_penalty);
  defaults.logit_bias = logit_bias;
  return defaults;
}

void ReadDrawing(ObjectReader& body, double max_temperature, SamplingRequest& out) {
  body.Read("temperature", 0, max_temperature, out.temperature);
  ReadAboveZero(body, "top_p", 1, out.top_p);
  body.Read("min_p", 0, 1, out.min_p);
  ReadAboveZero(body, "repetition_penalty", 100, out.repetition_penalty);
  body.Read("top_k", -1, INT32_MAX, out.top_k);
  if (out.top_k == -1) out.top_k = 0;  // vLLM's way to keep all
  body.Read("seed", INT64_MIN, INT64_MAX, out.seed);
}

void ReadPenalties(ObjectReader& body, SamplingRequest& out) {
  std::optional<double> penalty;
  body.Read("presence_penalty", -2, 2, penalty);
  out.presence_penalty = penalty.value_or(0);
  penalty.reset();
  body.Read("frequency_penalty", -2, 2, penalty);
  out.frequency_penalty = penalty.value_or(0);
}

void ReadSampling(ObjectReader& body, SamplingRequest& out) {
  constexpr double kMaxTemperature = 2;
  ReadDrawing(body, kMaxTemperature, out);
  ReadPenalties(body, out);
  body.Read("n", 1, 16, out.num_choices);
  body.Read("ignore_eos", out.ignore_eos);
  ReadLogitBias(body, out.logit_bias);
  ReadStops(body, "stop", out.stop);
}

void ReadConstraint(ObjectReader& body, OutputConstraint& out) {
  ReadResponseFormat(body, out);
  ReadGuidedJson(body, out);
  ReadGuidedChoice(body, out);
  const std::pair<std::string_view, OutputConstraint::Kind> kTexts[] = {
      {"guided_regex", OutputConstraint::Kind::kRegex}, {"guided_grammar", OutputConstraint::Kind::kGrammar}};
  for (const auto& [key, kind] : kTexts) {
    std::optional<std::string> text;
    body.Read(key, text, 1, kMaxPatternBytes);
    if (!text.has_value()) continue;
    SetConstraint(body, kind, key, out);
    out.text = std::move(*text);
  }
}

void ReadFormat(ObjectReader& parent, std::string_view key, OutputConstraint& out) {
  const Json* value = parent.Find(key);
  if (value == nullptr) return;
  const std::string field = parent.PathOf(key);
  ObjectReader format(*value, field, parent.error());
  const std::string type = ReadFormatType(format);
  if (type == "json_schema") return ReadSchema(format, field, out);
  format.Finish();
  if (type == "json_object") SetConstraint(format, OutputConstraint::Kind::kJsonObject, field, out);
}

void ReadServerOptions(ObjectReader& body, ServerOptions& out) {
  body.Read("priority", -1000, 1000, out.priority);
  body.Read("deadline_ms", 1, kMaxDeadlineMs, out.deadline_ms);
  body.Read("routing", out.routing, 1, 256);
  bool flag = false;
  if (body.Find("speculation") != nullptr) {
    body.Read("speculation", flag);
    out.speculation = flag;
  }
  const Json* value = body.Find("memory");
  if (value == nullptr) return;
  ObjectReader memory(*value, "memory", body.error());
  out.memory.emplace();
  memory.Read("namespace", out.memory->name_space, 1, 128);
  if (memory.Find("recall") != nullptr) {
    memory.Read("recall", flag);
    out.memory->recall = flag;
  }
  std::string notes_as;
  memory.Read("notes_as", {"text", "blocks"}, notes_as);
  if (!notes_as.empty()) out.memory->notes_as = notes_as;
  memory.Finish();
}

void ReadStreaming(ObjectReader& body, bool& stream, bool* include_usage) {
  body.Read("stream", stream);
  const Json* value = body.Find("stream_options");
  if (value == nullptr) return;
  if (!stream) {
    return body.Fail("stream_options",
                     "stream_options needs \"stream\": true; set that or leave the options out.");
  }
  ObjectReader options(*value, "stream_options", body.error());
  if (include_usage != nullptr) options.Read("include_usage", *include_usage);
  // Random padding against eavesdroppers who see the sizes of packets; clients need not get any.
  options.Ignore(ObjectReader::Kind::kBool, {"include_obfuscation"});
  options.Finish();
}

void ReadIgnored(ObjectReader& body, std::vector<std::string>& ignored) {
  using Kind = ObjectReader::Kind;
  body.Ignore(Kind::kText,
              {"user", "service_tier", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"},
              &ignored);
  body.Ignore(Kind::kBool, {"store"}, &ignored);
  body.Ignore(Kind::kObject, {"metadata"}, &ignored);
}

}  // namespace qwen25

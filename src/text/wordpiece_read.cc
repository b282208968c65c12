// Reading tokenizer.json (model WordPiece), vocab.txt and tokenizer_config.json.
#include <simdjson.h>

#include <algorithm>

#include "base/file.h"
#include "base/json.h"
#include "text/tokenizer_files.h"
#include "text/utf8.h"
#include "text/wordpiece.h"

namespace qwen25 {
namespace {

namespace dom = simdjson::dom;

std::string Shown(std::string_view text) {
  return RepairUtf8(text.substr(0, 64));
}

Json Member(const Json& object, const char* key) {
  return object.is_object() && object.contains(key) ? object[key] : Json();
}

Status ReadVocabulary(dom::element element, std::string_view origin, WordPieceSpec& spec) {
  dom::object object;
  if (element.get_object().get(object)) return Corrupt("{}: the vocabulary is not a JSON object", origin);
  std::vector<bool> taken;
  for (const auto [text, value] : object) {
    int64_t id;
    if (value.get_int64().get(id) || id < 0 || id > kMaxTokenId) {
      return Corrupt("{}: the token \"{}\" has id {}, expected an integer from 0 to {}", origin, Shown(text),
                     Shown(simdjson::minify(value)), kMaxTokenId);
    }
    const auto at = static_cast<size_t>(id);
    if (at >= spec.tokens.size()) {
      spec.tokens.resize(at + 1);
      taken.resize(at + 1);
    }
    if (taken[at]) {
      return Corrupt("{}: two tokens have the id {}, one of them is \"{}\"", origin, id, Shown(text));
    }
    taken[at] = true;
    spec.tokens[at] = text;
  }
  return {};
}

Status ReadType(const Json& component, std::string_view origin, std::string& type) {
  if (component.is_null()) return {};
  if (!component.is_object()) return Corrupt("{} is not an object", origin);
  return ReadField(component, "type", origin, type);
}

Status ReadNormalizer(const Json& json, std::string_view origin, BertNormalizerOptions& options) {
  const std::string where = fmt::format("{}: normalizer", origin);
  std::string type;
  QWEN25_RETURN_IF_ERROR(ReadType(json, where, type));
  if (type != "BertNormalizer") {
    return Unsupported("{} is \"{}\"; WordPiece is handled with \"BertNormalizer\"", where, Shown(type));
  }
  QWEN25_RETURN_IF_ERROR(ReadField(json, "clean_text", where, options.clean_text));
  QWEN25_RETURN_IF_ERROR(ReadField(json, "handle_chinese_chars", where, options.chinese_chars));
  QWEN25_RETURN_IF_ERROR(ReadField(json, "lowercase", where, options.lowercase));
  options.strip_accents = options.lowercase;  // unless it is stated
  return ReadField(json, "strip_accents", where, options.strip_accents);
}

// The special tokens around the one sequence of a template: [token], the sequence, [token].
Status ReadTemplate(const Json& single, const std::string& where, WordPieceSpec& spec) {
  if (!single.is_array()) return Corrupt("{}.single is not a list", where);
  spec.cls_token.clear();
  spec.sep_token.clear();
  bool after = false;
  for (const Json& item : single) {
    if (item.is_object() && item.contains("Sequence") && !after) {
      after = true;
      continue;
    }
    std::string& role = after ? spec.sep_token : spec.cls_token;
    const Json token = Member(item, "SpecialToken");
    if (!token.is_object() || !role.empty()) {
      return Unsupported("{}.single is {}; at most one token before and after the text is handled", where,
                         Shown(single.dump()));
    }
    QWEN25_RETURN_IF_ERROR(ReadField(token, "id", where, role));
  }
  return {};
}

Status ReadPostProcessor(const Json& json, std::string_view origin, WordPieceSpec& spec) {
  const std::string where = fmt::format("{}: post_processor", origin);
  std::string type;
  QWEN25_RETURN_IF_ERROR(ReadType(json, where, type));
  if (type.empty()) return {};  // transformers adds [CLS] and [SEP] all the same
  if (type == "TemplateProcessing") return ReadTemplate(Member(json, "single"), where, spec);
  if (type != "BertProcessing") {
    return Unsupported("{} is \"{}\"; WordPiece is handled with \"TemplateProcessing\" or \"BertProcessing\"",
                       where, Shown(type));
  }
  for (const auto& [key, role] : {std::pair{"cls", &spec.cls_token}, {"sep", &spec.sep_token}}) {
    const Json pair = Member(json, key);
    if (!pair.is_array() || pair.empty() || !pair[0].is_string()) {
      return Corrupt("{}.{} is not a pair of token and id", where, key);
    }
    *role = pair[0].get<std::string>();
  }
  return {};
}

Status ReadModelFields(const Json& model, std::string_view origin, WordPieceSpec& spec) {
  std::string type = "WordPiece";
  uint64_t longest = spec.max_word_characters;
  QWEN25_RETURN_IF_ERROR(ReadField(model, "type", origin, type));
  QWEN25_RETURN_IF_ERROR(ReadField(model, "unk_token", origin, spec.unk_token));
  QWEN25_RETURN_IF_ERROR(ReadField(model, "continuing_subword_prefix", origin, spec.continuation));
  QWEN25_RETURN_IF_ERROR(ReadField(model, "max_input_chars_per_word", origin, longest));
  spec.max_word_characters = longest;
  if (type == "WordPiece") return {};
  return Unsupported("{}: model.type is \"{}\"; sentence encoders are handled with \"WordPiece\"", origin,
                     Shown(type));
}

// A token's name in tokenizer_config.json: "token" or {"content": "token"}.
Status ReadName(const Json& config, const char* key, std::string_view origin, std::string& name) {
  const Json value = Member(config, key);
  if (value.is_object()) return ReadField(value, "content", origin, name);
  return ReadField(config, key, origin, name);
}

// vocab.txt lists special tokens like all others; transformers finds them in a text.
void AddSpecialTokens(WordPieceSpec& spec) {
  for (const std::string& content :
       {spec.unk_token, spec.cls_token, spec.sep_token, std::string("[PAD]"), std::string("[MASK]")}) {
    const auto found = std::ranges::find(spec.tokens, content);
    if (content.empty() || found == spec.tokens.end()) continue;
    spec.added_tokens.push_back(
        {.id = static_cast<int32_t>(found - spec.tokens.begin()), .content = content});
  }
}

}  // namespace

Result<WordPieceSpec> ParseWordPieceJson(std::string_view json, std::string_view origin) {
  if (json.starts_with(kUtf8ByteOrderMark)) json.remove_prefix(kUtf8ByteOrderMark.size());
  dom::parser parser;
  dom::element root;
  dom::object object;
  if (const auto error = parser.parse(json.data(), json.size()).get(root)) {
    return Corrupt("{}: not valid JSON: {}", origin, simdjson::error_message(error));
  }
  if (root.get_object().get(object)) return Corrupt("{}: the document is not a JSON object", origin);
  WordPieceSpec spec;
  // The vocabulary stays in simdjson's form; the rest is small.
  Json rest = Json::object(), model = Json::object();
  std::optional<dom::element> vocabulary;
  for (const auto [key, value] : object) {
    dom::object fields;
    if (key != "model" || value.get_object().get(fields)) {
      QWEN25_TRY(rest[std::string(key)], ParseJson(simdjson::minify(value), origin));
      continue;
    }
    for (const auto [name, field] : fields) {
      if (name == "vocab") {
        vocabulary = field;
      } else if (name != "merges") {  // of other kinds of models, which are refused below
        QWEN25_TRY(model[std::string(name)], ParseJson(simdjson::minify(field), origin));
      }
    }
  }
  QWEN25_RETURN_IF_ERROR(ReadModelFields(model, origin, spec));
  if (!vocabulary) return Corrupt("{}: model has no \"vocab\"", origin);
  QWEN25_RETURN_IF_ERROR(ReadVocabulary(*vocabulary, origin, spec));
  QWEN25_RETURN_IF_ERROR(ReadNormalizer(Member(rest, "normalizer"), origin, spec.normalizer));
  std::string splitter;
  QWEN25_RETURN_IF_ERROR(
      ReadType(Member(rest, "pre_tokenizer"), fmt::format("{}: pre_tokenizer", origin), splitter));
  if (splitter != "BertPreTokenizer") {
    return Unsupported("{}: pre_tokenizer is \"{}\"; WordPiece is handled with \"BertPreTokenizer\"", origin,
                       Shown(splitter));
  }
  QWEN25_RETURN_IF_ERROR(ReadPostProcessor(Member(rest, "post_processor"), origin, spec));
  const Json added = Member(rest, "added_tokens");
  if (!added.is_null() && !added.is_array()) return Corrupt("{}: added_tokens is not a list", origin);
  for (const Json& item : added) {
    QWEN25_TRY(AddedToken token, ParseAddedToken(item, origin));
    spec.added_tokens.push_back(std::move(token));
  }
  return spec;
}

Result<WordPieceSpec> ParseWordPieceVocab(std::string_view text, std::string_view origin) {
  WordPieceSpec spec;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (spec.tokens.size() > static_cast<size_t>(kMaxTokenId)) {
      return Corrupt("{}: has more than the {} tokens that are handled", origin, kMaxTokenId + 1);
    }
    spec.tokens.emplace_back(line);
  }
  return spec;
}

Status ApplyWordPieceConfig(const Json& config, std::string_view origin, bool template_stated,
                            WordPieceSpec& spec) {
  if (config.is_null()) return {};
  BertNormalizerOptions& options = spec.normalizer;
  const bool states_case = !Member(config, "do_lower_case").is_null();
  QWEN25_RETURN_IF_ERROR(ReadField(config, "do_lower_case", origin, options.lowercase));
  QWEN25_RETURN_IF_ERROR(ReadField(config, "tokenize_chinese_chars", origin, options.chinese_chars));
  if (states_case) options.strip_accents = options.lowercase;
  QWEN25_RETURN_IF_ERROR(ReadField(config, "strip_accents", origin, options.strip_accents));
  if (template_stated) return {};
  QWEN25_RETURN_IF_ERROR(ReadName(config, "unk_token", origin, spec.unk_token));
  QWEN25_RETURN_IF_ERROR(ReadName(config, "cls_token", origin, spec.cls_token));
  return ReadName(config, "sep_token", origin, spec.sep_token);
}

Result<WordPieceTokenizer> WordPieceTokenizer::Load(const std::filesystem::path& directory) {
  std::error_code ignored;
  const std::filesystem::path json_file = directory / "tokenizer.json", vocab_file = directory / "vocab.txt",
                              config_file = directory / "tokenizer_config.json";
  Json config;
  if (std::filesystem::exists(config_file, ignored)) {
    QWEN25_TRY(config, ReadJsonFile(config_file.string()));
    if (!config.is_object()) return Corrupt("{}: the document is not a JSON object", config_file.string());
  }
  const bool has_json = std::filesystem::exists(json_file, ignored);
  if (!has_json && !std::filesystem::exists(vocab_file, ignored)) {
    return NotFound("{}: holds neither tokenizer.json nor vocab.txt; one of them comes with the model",
                    directory.string());
  }
  const std::filesystem::path& file = has_json ? json_file : vocab_file;
  QWEN25_TRY(const std::string content, ReadFile(file));
  QWEN25_TRY(WordPieceSpec spec, has_json ? ParseWordPieceJson(content, file.string())
                                          : ParseWordPieceVocab(content, file.string()));
  QWEN25_RETURN_IF_ERROR(ApplyWordPieceConfig(config, config_file.string(), has_json, spec));
  if (!has_json) AddSpecialTokens(spec);
  return FromSpec(std::move(spec), file.string());
}

}  // namespace qwen25

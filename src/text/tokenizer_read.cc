// Reading tokenizer.json, vocab.json + merges.txt and tokenizer_config.json.
#include <simdjson.h>

#include <algorithm>
#include <cstdlib>
#include <map>

#include "base/file.h"
#include "text/bpe_tables.h"
#include "text/piece_splitter.h"
#include "text/tokenizer.h"
#include "text/tokenizer_files.h"
#include "text/utf8.h"

namespace qwen25 {
namespace {

namespace dom = simdjson::dom;

std::string Shown(std::string_view token) {
  return std::string(token.substr(0, 64));
}

Status JsonError(std::string_view origin, simdjson::error_code error) {
  return Corrupt("{}: not valid JSON: {}", origin, simdjson::error_message(error));
}

// The texts of a vocabulary as its file has them, and their ids.
struct FileVocabulary {
  std::vector<std::string_view> texts;  // into the parsed document
  std::vector<int32_t> ids;
  PieceTable table;  // text -> id

  int32_t Find(std::string_view text) const { return text.empty() ? -1 : table.Find(text); }
  // The text of `id` if the file lists the tokens in order of id; else empty.
  std::string_view TextOf(int32_t id) const {
    const auto i = static_cast<size_t>(id);
    return id >= 0 && i < ids.size() && ids[i] == id ? texts[i] : std::string_view();
  }
};

Result<FileVocabulary> ParseVocabulary(dom::element element, std::string_view origin) {
  dom::object object;
  if (element.get_object().get(object)) return Corrupt("{}: the vocabulary is not a JSON object", origin);
  FileVocabulary vocabulary;
  std::vector<bool> taken;
  for (const auto [text, value] : object) {
    int64_t id;
    if (value.get_int64().get(id) || id < 0 || id > kMaxTokenId) {
      return Corrupt("{}: the token \"{}\" has id {}, expected an integer from 0 to {}", origin, Shown(text),
                     Shown(simdjson::minify(value)), kMaxTokenId);
    }
    if (text.size() > kMaxTokenBytes) {
      return Corrupt("{}: the token with id {} has {} bytes, at most {} are handled", origin, id, text.size(),
                     kMaxTokenBytes);
    }
    if (static_cast<size_t>(id) >= taken.size()) taken.resize(static_cast<size_t>(id) + 1);
    if (taken[static_cast<size_t>(id)]) {
      return Corrupt("{}: two tokens have the id {}, one of them is \"{}\"", origin, id, Shown(text));
    }
    taken[static_cast<size_t>(id)] = true;
    if (text.empty()) continue;  // no text has it
    vocabulary.texts.push_back(text);
    vocabulary.ids.push_back(static_cast<int32_t>(id));
  }
  const size_t repeated = vocabulary.table.Build(vocabulary.texts, vocabulary.ids);
  if (repeated < vocabulary.texts.size()) {
    return Corrupt("{}: the token \"{}\" is listed twice, with the ids {} and {}", origin,
                   Shown(vocabulary.texts[repeated]), vocabulary.Find(vocabulary.texts[repeated]),
                   vocabulary.ids[repeated]);
  }
  return vocabulary;
}

// Moves the texts into spec.tokens, in the form of spec.model.
void FillTokens(const FileVocabulary& vocabulary, TokenizerSpec& spec) {
  const auto largest = std::max_element(vocabulary.ids.begin(), vocabulary.ids.end());
  spec.tokens.resize(largest == vocabulary.ids.end() ? 0 : static_cast<size_t>(*largest) + 1);
  for (size_t i = 0; i < vocabulary.texts.size(); ++i) {
    std::string& token = spec.tokens[static_cast<size_t>(vocabulary.ids[i])];
    if (spec.model == BpeModel::kCharacters) {
      token = vocabulary.texts[i];
    } else if (!AlphabetToBytes(vocabulary.texts[i], token)) {
      token.clear();
      spec.foreign_tokens.emplace_back(vocabulary.ids[i], vocabulary.texts[i]);
    }
  }
  std::sort(spec.foreign_tokens.begin(), spec.foreign_tokens.end());
}

// Appends the merge of two texts; `where` names it in an error.
Status AppendMerge(const FileVocabulary& vocabulary, std::string_view left, std::string_view right,
                   const std::string& where, std::string& joined, TokenizerSpec& spec) {
  if (spec.merges.size() >= kMaxMerges) {
    return Corrupt("{}: more than the {} merges that are handled", where, kMaxMerges);
  }
  joined.assign(left);
  joined += right;
  // Most vocabularies are numbered in the order of their merges: look there first, a search costs more.
  const int32_t guess = spec.merges.empty() ? -1 : spec.merges.back().result + 1;
  const int32_t result = vocabulary.TextOf(guess) == joined ? guess : vocabulary.Find(joined);
  const TokenizerSpec::Merge merge = {vocabulary.Find(left), vocabulary.Find(right), result};
  for (const auto& [id, text] : {std::pair<int32_t, std::string_view>{merge.left, left},
                                 {merge.right, right},
                                 {merge.result, joined}}) {
    if (id >= 0) continue;
    return Corrupt("{}: the merge \"{} {}\" needs the token \"{}\", which is not in the vocabulary", where,
                   Shown(left), Shown(right), Shown(text));
  }
  for (const int32_t id : {merge.left, merge.right, merge.result}) {
    if (!spec.tokens[static_cast<size_t>(id)].empty()) continue;
    return Corrupt("{}: the merge \"{} {}\" has characters outside the byte alphabet", where, Shown(left),
                   Shown(right));
  }
  spec.merges.push_back(merge);
  return {};
}

// Splits "left right"; false unless there is exactly one space, with text on both sides.
bool SplitMerge(std::string_view line, std::string_view& left, std::string_view& right) {
  const size_t space = line.find(' ');
  if (space == std::string_view::npos || line.find(' ', space + 1) != std::string_view::npos) return false;
  left = line.substr(0, space);
  right = line.substr(space + 1);
  return !left.empty() && !right.empty();
}

// "merges": a list of "left right", or of ["left", "right"].
Status ParseMergeList(dom::element element, const FileVocabulary& vocabulary, std::string_view origin,
                      TokenizerSpec& spec) {
  dom::array list;
  if (element.get_array().get(list)) return Corrupt("{}: model.merges is not a list", origin);
  std::string joined;
  size_t rank = 0;
  for (const dom::element item : list) {
    const auto where = [&] { return fmt::format("{}: model.merges[{}]", origin, rank); };
    std::string_view text, left, right;
    dom::array pair;
    bool good = false;
    if (!item.get_string().get(text)) {
      good = SplitMerge(text, left, right);
    } else if (!item.get_array().get(pair) && pair.size() == 2) {
      good = !pair.at(0).get_string().get(left) && !pair.at(1).get_string().get(right);
    }
    if (!good) {
      return Corrupt("{} is {}, expected \"left right\" or [\"left\", \"right\"]", where(),
                     Shown(simdjson::minify(item)));
    }
    Status appended = AppendMerge(vocabulary, left, right, std::string(origin), joined, spec);
    if (!appended.ok()) return Status(appended.code(), where() + appended.message().substr(origin.size()));
    ++rank;
  }
  return {};
}

// Checks the model object's fields, and reads what the encoder needs to know.
Status CheckModelFields(const Json& model, std::string_view origin, TokenizerSpec& spec,
                        std::string& unk_token) {
  std::string type = "BPE", prefix, suffix;
  double dropout = 0;
  QWEN25_RETURN_IF_ERROR(ReadField(model, "type", origin, type));
  QWEN25_RETURN_IF_ERROR(ReadField(model, "continuing_subword_prefix", origin, prefix));
  QWEN25_RETURN_IF_ERROR(ReadField(model, "end_of_word_suffix", origin, suffix));
  QWEN25_RETURN_IF_ERROR(ReadField(model, "dropout", origin, dropout));
  QWEN25_RETURN_IF_ERROR(ReadField(model, "byte_fallback", origin, spec.byte_fallback));
  QWEN25_RETURN_IF_ERROR(ReadField(model, "ignore_merges", origin, spec.ignore_merges));
  QWEN25_RETURN_IF_ERROR(ReadField(model, "unk_token", origin, unk_token));
  spec.fuse_unk = false;
  QWEN25_RETURN_IF_ERROR(ReadField(model, "fuse_unk", origin, spec.fuse_unk));
  if (type != "BPE") return Unsupported("{}: model.type is \"{}\", handled is BPE", origin, type);
  if (!prefix.empty() || !suffix.empty()) {
    return Unsupported(
        "{}: model has continuing_subword_prefix \"{}\" and end_of_word_suffix \"{}\"; handled are "
        "vocabularies without them",
        origin, prefix, suffix);
  }
  if (dropout != 0) return Unsupported("{}: model.dropout is {}, handled is none", origin, dropout);
  return {};
}

// tokenizer.json taken apart: the two big lists stay in simdjson's form.
struct Document {
  Json rest = Json::object();   // all but "model"
  Json model = Json::object();  // all of "model" but the two lists
  dom::element vocab, merges;
  bool has_vocab = false, has_merges = false;
};

Result<Document> TakeApart(dom::element root, std::string_view origin) {
  dom::object object;
  if (root.get_object().get(object)) return Corrupt("{}: the document is not a JSON object", origin);
  Document document;
  for (const auto [key, value] : object) {
    dom::object model;
    if (key != "model" || value.get_object().get(model)) {
      QWEN25_TRY(document.rest[std::string(key)], ParseJson(simdjson::minify(value), origin));
      continue;
    }
    for (const auto [model_key, model_value] : model) {
      if (model_key == "vocab") {
        document.vocab = model_value;
        document.has_vocab = true;
      } else if (model_key == "merges") {
        document.merges = model_value;
        document.has_merges = true;
      } else {
        QWEN25_TRY(document.model[std::string(model_key)], ParseJson(simdjson::minify(model_value), origin));
      }
    }
  }
  return document;
}

Json Member(const Json& object, const char* key) {
  return object.contains(key) ? object[key] : Json();
}

Status AppendAddedTokens(const Json& list, std::string_view origin, TokenizerSpec& spec) {
  if (list.is_null()) return {};
  if (!list.is_array()) return Corrupt("{}: added_tokens is not a list", origin);
  for (const Json& item : list) {
    QWEN25_TRY(AddedToken token, ParseAddedToken(item, origin));
    // A token listed twice counts once, as in Hugging Face tokenizers.
    const bool again = std::ranges::any_of(spec.added_tokens, [&](const AddedToken& other) {
      return other.id == token.id && other.content == token.content;
    });
    if (!again) spec.added_tokens.push_back(std::move(token));
  }
  return {};
}

}  // namespace

Result<AddedToken> ParseAddedToken(const Json& object, std::string_view origin) {
  if (!object.is_object()) return Corrupt("{}: an added token is not an object", origin);
  AddedToken token;
  int64_t id = token.id;
  token.special = false;
  QWEN25_RETURN_IF_ERROR(ReadField(object, "id", origin, id));
  QWEN25_RETURN_IF_ERROR(ReadField(object, "content", origin, token.content));
  QWEN25_RETURN_IF_ERROR(ReadField(object, "special", origin, token.special));
  QWEN25_RETURN_IF_ERROR(ReadField(object, "normalized", origin, token.normalized));
  QWEN25_RETURN_IF_ERROR(ReadField(object, "lstrip", origin, token.lstrip));
  QWEN25_RETURN_IF_ERROR(ReadField(object, "rstrip", origin, token.rstrip));
  QWEN25_RETURN_IF_ERROR(ReadField(object, "single_word", origin, token.single_word));
  if (object.contains("id") && (id < 0 || id > kMaxTokenId)) {
    return Corrupt("{}: the added token \"{}\" has id {}, expected 0 to {}", origin, Shown(token.content), id,
                   kMaxTokenId);
  }
  token.id = static_cast<int32_t>(id);
  return token;
}

Result<TokenizerSpec> ParseTokenizerJson(std::string_view json, std::string_view origin) {
  if (json.starts_with(kUtf8ByteOrderMark)) json.remove_prefix(kUtf8ByteOrderMark.size());
  dom::parser parser;
  dom::element root;
  if (const auto error = parser.parse(json.data(), json.size()).get(root)) return JsonError(origin, error);
  QWEN25_TRY(const Document document, TakeApart(root, origin));
  TokenizerSpec spec;
  std::string unk_token;
  QWEN25_RETURN_IF_ERROR(CheckModelFields(document.model, origin, spec, unk_token));
  QWEN25_RETURN_IF_ERROR(
      ParsePipeline({Member(document.rest, "normalizer"), Member(document.rest, "pre_tokenizer"),
                     Member(document.rest, "post_processor"), Member(document.rest, "decoder")},
                    origin, spec));
  if (!document.has_vocab || !document.has_merges) {
    return Corrupt("{}: model has no \"{}\"", origin, document.has_vocab ? "merges" : "vocab");
  }
  QWEN25_TRY(const FileVocabulary vocabulary, ParseVocabulary(document.vocab, origin));
  FillTokens(vocabulary, spec);
  QWEN25_RETURN_IF_ERROR(ParseMergeList(document.merges, vocabulary, origin, spec));
  if (const int32_t id = vocabulary.Find(unk_token); id >= 0) spec.unk_id = id;
  QWEN25_RETURN_IF_ERROR(AppendAddedTokens(Member(document.rest, "added_tokens"), origin, spec));
  // An added token that the vocabulary lists, too, stands there as it is, not in the alphabet of bytes.
  for (const AddedToken& token : spec.added_tokens) {
    const auto id = static_cast<size_t>(token.id);
    if (token.id < 0 || id >= spec.tokens.size() || vocabulary.Find(token.content) != token.id) continue;
    if (spec.tokens[id] != token.content) spec.tokens[id].clear();
  }
  return spec;
}

Result<TokenizerSpec> ParseVocabAndMerges(std::string_view vocab, std::string_view vocab_origin,
                                          std::string_view merges, std::string_view merges_origin,
                                          const Json& config, std::string_view config_origin) {
  TokenizerSpec spec;
  spec.normalizer = NfcSteps();
  spec.pre_tokenizer = StepsOf(PreTokenizerKind::kQwen2);
  std::string tokenizer_class = "Qwen2Tokenizer";
  bool add_prefix_space = false;
  QWEN25_RETURN_IF_ERROR(ReadField(config, "tokenizer_class", config_origin, tokenizer_class));
  QWEN25_RETURN_IF_ERROR(ReadField(config, "add_prefix_space", config_origin, add_prefix_space));
  if (tokenizer_class == "GPT2Tokenizer" || tokenizer_class == "GPT2TokenizerFast") {
    spec.pre_tokenizer = StepsOf(PreTokenizerKind::kGpt2);
    spec.pre_tokenizer.back().add_prefix_space = add_prefix_space;
    spec.normalizer.clear();
  } else if (tokenizer_class != "Qwen2Tokenizer" && tokenizer_class != "Qwen2TokenizerFast") {
    return Unsupported(
        "{}: tokenizer_class is \"{}\"; vocab.json and merges.txt are handled for Qwen2Tokenizer "
        "and GPT2Tokenizer, others need a tokenizer.json",
        config_origin, tokenizer_class);
  }
  for (std::string_view* text : {&vocab, &merges}) {
    if (text->starts_with(kUtf8ByteOrderMark)) text->remove_prefix(kUtf8ByteOrderMark.size());
  }
  dom::parser parser;
  dom::element root;
  if (const auto error = parser.parse(vocab.data(), vocab.size()).get(root))
    return JsonError(vocab_origin, error);
  QWEN25_TRY(const FileVocabulary vocabulary, ParseVocabulary(root, vocab_origin));
  FillTokens(vocabulary, spec);
  std::string joined;
  size_t line_number = 0;
  for (size_t begin = 0; begin < merges.size();) {
    const size_t end = std::min(merges.find('\n', begin), merges.size());
    std::string_view line = merges.substr(begin, end - begin), left, right;
    begin = end + 1;
    ++line_number;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || line.starts_with("#version")) continue;
    if (!SplitMerge(line, left, right)) {
      return Corrupt("{}:{}: the line is \"{}\", expected two tokens with one space between them",
                     merges_origin, line_number, RepairUtf8(Shown(line)));
    }
    Status appended = AppendMerge(vocabulary, left, right, "", joined, spec);
    if (!appended.ok()) {
      return Status(appended.code(), fmt::format("{}:{}{}", merges_origin, line_number, appended.message()));
    }
  }
  return spec;
}

namespace {

// A role in tokenizer_config.json: "token", {"content": "token"} or null.
Status ReadRole(const Json& config, const char* key, std::string_view origin, std::string& role) {
  const Json value = Member(config, key);
  if (value.is_object()) return ReadField(value, "content", origin, role);
  return ReadField(config, key, origin, role);
}

Status ReadChatTemplate(const Json& config, std::string_view origin, std::string& chat_template) {
  const Json value = Member(config, "chat_template");
  if (value.is_object()) return ReadField(value, "default", origin, chat_template);  // several by name
  if (value.is_string()) chat_template = value.get<std::string>();
  if (!value.is_array()) return {};
  for (const Json& item : value) {  // the same as a list
    std::string name;
    if (item.is_object()) QWEN25_RETURN_IF_ERROR(ReadField(item, "name", origin, name));
    if (name == "default") QWEN25_RETURN_IF_ERROR(ReadField(item, "template", origin, chat_template));
  }
  return {};
}

// The id that the vocabulary has for the content of an added token.
std::optional<int32_t> VocabularyId(const TokenizerSpec& spec, std::string_view content) {
  if (std::ranges::any_of(content, [](char c) { return static_cast<unsigned char>(c) >= 0x80; })) {
    for (const auto& [id, text] : spec.foreign_tokens) {
      if (text == content) return id;
    }
    if (spec.model == BpeModel::kByteLevel) return std::nullopt;
  }
  const auto found = std::ranges::find(spec.tokens, content);
  if (content.empty() || found == spec.tokens.end()) return std::nullopt;
  return static_cast<int32_t>(found - spec.tokens.begin());
}

bool IsAdded(const TokenizerSpec& spec, std::string_view content) {
  return std::ranges::any_of(spec.added_tokens,
                             [&](const AddedToken& token) { return token.content == content; });
}

// What tokenizer_config.json and special_tokens_map.json add to tokenizer.json: tokens with their flags, and
// roles of tokens that are ordinary ones there.
Status AppendConfiguredTokens(const Json& config, std::string_view origin, const Json& roles,
                              TokenizerSpec& spec) {
  const Json decoder = Member(config, "added_tokens_decoder");
  if (decoder.is_object()) {
    std::map<int64_t, AddedToken> by_id;
    for (const auto& [key, value] : decoder.items()) {
      QWEN25_TRY(by_id[std::strtoll(key.c_str(), nullptr, 10)], ParseAddedToken(value, origin));
    }
    for (auto& [id, token] : by_id) {
      if (token.content.empty() || IsAdded(spec, token.content)) continue;
      // As for transformers: the vocabulary's id or the next one that is free, whatever number the file
      // gives.
      token.id = VocabularyId(spec, token.content).value_or(static_cast<int32_t>(VocabSize(spec)));
      spec.added_tokens.push_back(std::move(token));
    }
  }
  std::vector<std::string> special = {spec.bos_token, spec.eos_token, spec.pad_token};
  for (const Json& document : {config, roles}) {
    for (const char* key : {"additional_special_tokens", "extra_special_tokens"}) {
      for (const Json& value : Member(document, key)) {
        if (value.is_string()) special.push_back(value.get<std::string>());
        if (value.is_object())
          QWEN25_RETURN_IF_ERROR(ReadField(value, "content", origin, special.emplace_back()));
      }
    }
  }
  for (const std::string& content : special) {
    if (IsAdded(spec, content)) continue;
    if (const auto id = VocabularyId(spec, content))
      spec.added_tokens.push_back({.id = *id, .content = content});
  }
  return {};
}

// The added tokens of a folder without tokenizer.json: tokenizer_config.json has them with their flags,
// added_tokens.json has names and ids only.
Status AppendFolderAddedTokens(const Json& config, std::string_view config_origin, const Json& added,
                               std::string_view added_origin, TokenizerSpec& spec) {
  const Json decoder = Member(config, "added_tokens_decoder");
  if (!decoder.is_null() && !decoder.is_object()) {
    return Corrupt("{}: added_tokens_decoder is not an object", config_origin);
  }
  for (const auto& [key, value] : decoder.items()) {
    QWEN25_TRY(AddedToken token, ParseAddedToken(value, config_origin));
    const bool digits = !key.empty() && key.size() < 10 && key.find_first_not_of("0123456789") == key.npos;
    if (!digits) return Corrupt("{}: added_tokens_decoder has the key \"{}\"", config_origin, Shown(key));
    token.id = static_cast<int32_t>(std::stol(key));
    spec.added_tokens.push_back(std::move(token));
  }
  if (!added.is_null() && !added.is_object())
    return Corrupt("{}: the document is not an object", added_origin);
  for (const auto& [content, value] : added.items()) {
    if (!value.is_number_integer() || value < 0 || value > kMaxTokenId) {
      return Corrupt("{}: \"{}\" has id {}, expected 0 to {}", added_origin, Shown(content),
                     Shown(value.dump()), kMaxTokenId);
    }
    const auto id = value.get<int32_t>();
    const auto same =
        std::find_if(spec.added_tokens.begin(), spec.added_tokens.end(),
                     [&content = content](const AddedToken& token) { return token.content == content; });
    if (same == spec.added_tokens.end()) {
      const bool role = content == spec.bos_token || content == spec.eos_token || content == spec.pad_token;
      spec.added_tokens.push_back({.id = id, .content = content, .special = role});
    } else if (same->id != id) {
      return Corrupt("{}: \"{}\" has id {}, but {} in {}", added_origin, Shown(content), id, same->id,
                     config_origin);
    }
  }
  return {};
}

// The document in `file`, or null if there is no such file.
Result<Json> ReadOptionalJson(const std::filesystem::path& file) {
  std::error_code ignored;
  if (!std::filesystem::exists(file, ignored)) return Json();
  QWEN25_TRY(Json document, ReadJsonFile(file.string()));
  if (!document.is_object()) return Corrupt("{}: the document is not a JSON object", file.string());
  return document;
}

}  // namespace

Status ApplyTokenizerConfig(const Json& config, std::string_view config_origin,
                            const Json& special_tokens_map, TokenizerSpec& spec) {
  struct Role {
    const char* key;
    std::string& value;
  };
  for (const Role& role : {Role{"bos_token", spec.bos_token}, Role{"eos_token", spec.eos_token},
                           Role{"pad_token", spec.pad_token}}) {
    if (!config.is_null()) QWEN25_RETURN_IF_ERROR(ReadRole(config, role.key, config_origin, role.value));
    const bool stated = config.is_object() && config.contains(role.key);
    if (!stated && special_tokens_map.is_object()) {
      QWEN25_RETURN_IF_ERROR(ReadRole(special_tokens_map, role.key, "special_tokens_map.json", role.value));
    }
  }
  if (config.is_null()) return {};
  spec.config = config;
  return ReadChatTemplate(config, config_origin, spec.chat_template);
}

Result<Tokenizer> Tokenizer::Load(const std::filesystem::path& path) {
  std::error_code ignored;
  const bool is_folder = std::filesystem::is_directory(path, ignored);
  const auto folder = is_folder ? path : path.parent_path();
  const std::filesystem::path json_file = is_folder ? path / "tokenizer.json" : path;
  const std::string config_file = (folder / "tokenizer_config.json").string();
  Json config, roles;
  if (is_folder) {
    QWEN25_TRY(config, ReadOptionalJson(config_file));
    QWEN25_TRY(roles, ReadOptionalJson(folder / "special_tokens_map.json"));
  }
  TokenizerSpec spec;
  std::string origin = json_file.string();
  const auto vocab_file = folder / "vocab.json", merges_file = folder / "merges.txt";
  const bool two_files = is_folder && !std::filesystem::exists(json_file, ignored);
  if (two_files && !std::filesystem::exists(vocab_file, ignored)) {
    return NotFound(
        "{}: holds neither tokenizer.json nor vocab.json; expected the folder of a Hugging Face "
        "tokenizer",
        folder.string());
  }
  if (two_files) {
    origin = vocab_file.string();
    QWEN25_TRY(const std::string vocab, ReadFile(vocab_file));
    QWEN25_TRY(const std::string merges, ReadFile(merges_file));
    const Json fields = config.is_null() ? Json::object() : config;
    QWEN25_TRY(spec, ParseVocabAndMerges(vocab, origin, merges, merges_file.string(), fields, config_file));
  } else {
    QWEN25_TRY(const std::string json, ReadFile(json_file));
    QWEN25_TRY(spec, ParseTokenizerJson(json, origin));
  }
  QWEN25_RETURN_IF_ERROR(ApplyTokenizerConfig(config, config_file, roles, spec));
  if (!two_files) QWEN25_RETURN_IF_ERROR(AppendConfiguredTokens(config, config_file, roles, spec));
  if (two_files) {
    const auto added_file = folder / "added_tokens.json";
    QWEN25_TRY(const Json added, ReadOptionalJson(added_file));
    QWEN25_RETURN_IF_ERROR(AppendFolderAddedTokens(config, config_file, added, added_file.string(), spec));
  }
  const auto jinja_file = folder / "chat_template.jinja";
  if (is_folder && std::filesystem::exists(jinja_file, ignored)) {
    QWEN25_TRY(spec.chat_template, ReadFile(jinja_file));
  }
  return FromSpec(std::move(spec), origin);
}

}  // namespace qwen25

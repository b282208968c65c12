// Writing tokenizer.json, tokenizer_config.json, vocab.json and merges.txt.
#include <algorithm>

#include "base/file.h"
#include "text/piece_splitter.h"
#include "text/tokenizer.h"
#include "text/tokenizer_files.h"

namespace qwen25 {
namespace {

// Appends `text`, which is well-formed UTF-8, as a JSON string. (A tree of the whole vocabulary would cost
// more than writing it.)
void AppendJsonString(std::string_view text, std::string& out) {
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out += c;
    }
  }
  out += '"';
}

// The text of every id of the model's vocabulary, in the file's form; empty if the id has none of its own.
std::vector<std::string> FileTexts(const TokenizerSpec& spec) {
  std::vector<std::string> texts;
  texts.reserve(spec.tokens.size());
  for (const std::string& token : spec.tokens) {
    texts.push_back(spec.model == BpeModel::kByteLevel ? BytesToAlphabet(token) : token);
  }
  for (const auto& [id, text] : spec.foreign_tokens) texts[static_cast<size_t>(id)] = text;
  return texts;
}

// Hugging Face's tokenizers gives an added token that the vocabulary does not hold the next free id, whatever
// the file says: the number of entries, or the one after the last added token. If that is not its id, all
// added tokens go into the vocabulary, as in files whose control tokens come first.
void PlaceAddedTokens(const TokenizerSpec& spec, std::vector<std::string>& texts) {
  const auto num_entries =
      std::ranges::count_if(texts, [](const std::string& text) { return !text.empty(); });
  int64_t next = num_entries;
  bool fits = true;
  for (const AddedToken& token : spec.added_tokens) {
    const auto id = static_cast<size_t>(token.id);
    if (id < texts.size() && !texts[id].empty()) continue;
    fits = fits && token.id == next;
    ++next;
  }
  if (fits) return;
  for (const AddedToken& token : spec.added_tokens) {
    const auto id = static_cast<size_t>(token.id);
    if (id >= texts.size()) texts.resize(id + 1);
    if (texts[id].empty()) texts[id] = token.content;
  }
}

void AppendVocabulary(const std::vector<std::string>& texts, std::string_view separator,
                      std::string_view colon, std::string& out) {
  out += '{';
  bool first = true;
  for (size_t id = 0; id < texts.size(); ++id) {
    if (texts[id].empty()) continue;
    out += first ? separator.substr(1) : separator;
    first = false;
    AppendJsonString(texts[id], out);
    out += colon;
    out += std::to_string(id);
  }
}

}  // namespace

Json AddedTokenJson(const AddedToken& token, bool with_id) {
  Json out = Json::object();
  if (with_id) out["id"] = token.id;
  out["content"] = token.content;
  out["single_word"] = token.single_word;
  out["lstrip"] = token.lstrip;
  out["rstrip"] = token.rstrip;
  out["normalized"] = token.normalized;
  out["special"] = token.special;
  return out;
}

std::string TokenizerJsonText(const TokenizerSpec& spec) {
  const TokenizerPipeline pipeline = MakePipeline(spec);
  std::vector<std::string> texts = FileTexts(spec);
  PlaceAddedTokens(spec, texts);
  Json head = {{"version", "1.0"}, {"truncation", nullptr}, {"padding", nullptr}};
  head["added_tokens"] = Json::array();
  for (const AddedToken& token : spec.added_tokens)
    head["added_tokens"].push_back(AddedTokenJson(token, true));
  head["normalizer"] = pipeline.normalizer;
  head["pre_tokenizer"] = pipeline.pre_tokenizer;
  head["post_processor"] = pipeline.post_processor;
  head["decoder"] = pipeline.decoder;
  Json model = {{"type", "BPE"}, {"dropout", nullptr}, {"unk_token", nullptr}};
  if (spec.unk_id) model["unk_token"] = texts[static_cast<size_t>(*spec.unk_id)];
  model["continuing_subword_prefix"] = nullptr;
  model["end_of_word_suffix"] = nullptr;
  model["fuse_unk"] = spec.fuse_unk;
  model["byte_fallback"] = spec.byte_fallback;
  model["ignore_merges"] = spec.ignore_merges;
  model["vocab"] = nullptr;  // replaced below: it comes last, so that the text can simply be cut there

  // "left right" is what every version of the readers understands; a token with a space needs the pair form.
  const bool pairs = std::any_of(texts.begin(), texts.end(),
                                 [](const std::string& text) { return text.find(' ') != text.npos; });
  std::string out = head.dump(2);
  out.erase(out.rfind("\n}"));
  out += ",\n  \"model\": ";
  out += model.dump();
  out.erase(out.rfind("null}"));
  AppendVocabulary(texts, ",\n      ", ": ", out);
  out += "\n    }, \"merges\": [";
  for (size_t rank = 0; rank < spec.merges.size(); ++rank) {
    const std::string& left = texts[static_cast<size_t>(spec.merges[rank].left)];
    const std::string& right = texts[static_cast<size_t>(spec.merges[rank].right)];
    out += rank == 0 ? "\n      " : ",\n      ";
    if (pairs) {
      out += '[';
      AppendJsonString(left, out);
      out += ", ";
      AppendJsonString(right, out);
      out += ']';
    } else {
      AppendJsonString(left + " " + right, out);
    }
  }
  out += "\n    ]\n  }\n}\n";
  return out;
}

std::string TokenizerConfigText(const TokenizerSpec& spec) {
  Json config = spec.config;
  const auto set_role = [&](const char* key, const std::string& token) {
    config[key] = token.empty() ? Json() : Json(token);
  };
  Json added = Json::object();
  for (const AddedToken& token : spec.added_tokens)
    added[std::to_string(token.id)] = AddedTokenJson(token, false);
  config["added_tokens_decoder"] = std::move(added);
  set_role("bos_token", spec.bos_token);
  set_role("eos_token", spec.eos_token);
  set_role("pad_token", spec.pad_token);
  // Several templates with names stay as they were read.
  const bool has_names = config.contains("chat_template") && !config["chat_template"].is_string();
  if (!spec.chat_template.empty() && !has_names) config["chat_template"] = spec.chat_template;
  if (!config.contains("clean_up_tokenization_spaces")) config["clean_up_tokenization_spaces"] = false;
  if (!config.contains("tokenizer_class")) {
    const bool qwen2 = spec.model == BpeModel::kByteLevel && spec.prefix_ids.empty() &&
                       spec.suffix_ids.empty() && spec.normalizer == NfcSteps() &&
                       FastKindOf(spec.pre_tokenizer) == PreTokenizerKind::kQwen2;
    config["tokenizer_class"] = qwen2 ? "Qwen2Tokenizer" : "PreTrainedTokenizerFast";
  }
  return config.dump(2) + "\n";
}

std::string VocabJsonText(const TokenizerSpec& spec) {
  std::string out;
  AppendVocabulary(FileTexts(spec), ",", ":", out);
  return out + "}";
}

std::string MergesText(const TokenizerSpec& spec) {
  const std::vector<std::string> texts = FileTexts(spec);
  std::string out = "#version: 0.2\n";
  for (const auto& merge : spec.merges) {
    out += texts[static_cast<size_t>(merge.left)];
    out += ' ';
    out += texts[static_cast<size_t>(merge.right)];
    out += '\n';
  }
  return out;
}

Status Tokenizer::Save(const std::filesystem::path& directory) const {
  QWEN25_RETURN_IF_ERROR(CreateDirectories(directory));
  if (spec().model == BpeModel::kByteLevel) {
    QWEN25_RETURN_IF_ERROR(WriteFileAtomically(directory / "vocab.json", VocabJsonText(spec())));
    QWEN25_RETURN_IF_ERROR(WriteFileAtomically(directory / "merges.txt", MergesText(spec())));
  }
  QWEN25_RETURN_IF_ERROR(
      WriteFileAtomically(directory / "tokenizer_config.json", TokenizerConfigText(spec())));
  return WriteFileAtomically(directory / "tokenizer.json", TokenizerJsonText(spec()));
}

}  // namespace qwen25

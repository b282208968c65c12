#include "pretrained/gguf_tokenizer_io.h"

#include "text/gguf_tokenizer.h"

namespace qwen25 {
namespace {

constexpr std::string_view kPrefix = "tokenizer.ggml.";

// Reads the keys of a tokenizer. An absent key leaves its variable unchanged.
class Keys {
 public:
  Keys(const GgufFiles& files, const std::string& origin) : files_(files), origin_(origin) {}

  Status Read(const std::string& key, std::string& out) const {
    return Apply(key, "a string", [&](const GgufValue& value) {
      const auto text = value.String();
      if (text) out = *text;
      return text.has_value();
    });
  }
  Status Read(const std::string& key, std::vector<std::string>& out) const {
    return Apply(key, "an array of strings", [&](const GgufValue& value) {
      const auto texts = value.Strings();
      if (texts) out.assign(texts->begin(), texts->end());
      return texts.has_value();
    });
  }
  template <typename Number>
  Status Read(const std::string& key, std::vector<Number>& out) const {
    return Apply(key, "an array of numbers", [&](const GgufValue& value) {
      const auto numbers = value.Numbers();
      if (!numbers) return false;
      for (const double number : *numbers) out.push_back(static_cast<Number>(number));
      return true;
    });
  }
  Status Read(const std::string& key, std::optional<bool>& out) const {
    return Apply(key, "a bool", [&](const GgufValue& value) {
      out = value.Bool();
      return out.has_value();
    });
  }
  Status Read(const std::string& key, std::optional<int32_t>& out) const {
    return Apply(key, "a token id", [&](const GgufValue& value) {
      const auto number = value.Integer();
      if (!number) return false;
      // Some writers' "none" is -1 or 2^32 - 1.
      if (*number >= 0 && *number < INT32_MAX) out = static_cast<int32_t>(*number);
      return true;
    });
  }

 private:
  template <typename Take>
  Status Apply(const std::string& key, const char* wanted, const Take& take) const {
    const GgufValue* value = files_.Find(key);
    if (value == nullptr || take(*value)) return {};
    return Corrupt("{}: {} is of type {}, expected {}", origin_, key, value->TypeName(), wanted);
  }

  const GgufFiles& files_;
  const std::string& origin_;
};

}  // namespace

Result<Tokenizer> ReadGgufTokenizer(const GgufFiles& files, const std::string& origin) {
  const Keys keys(files, origin);
  const auto name = [](std::string_view key) { return std::string(kPrefix) + std::string(key); };
  GgufTokenizer parts;
  if (files.Find(name("model")) == nullptr) {
    return NotFound("{}: holds no tokenizer (no tokenizer.ggml.model)", origin);
  }
  QWEN25_RETURN_IF_ERROR(keys.Read(name("model"), parts.model));
  QWEN25_RETURN_IF_ERROR(keys.Read(name("pre"), parts.pre));
  QWEN25_RETURN_IF_ERROR(keys.Read(name("tokens"), parts.tokens));
  QWEN25_RETURN_IF_ERROR(keys.Read(name("token_type"), parts.token_types));
  QWEN25_RETURN_IF_ERROR(keys.Read(name("scores"), parts.scores));
  QWEN25_RETURN_IF_ERROR(keys.Read(name("merges"), parts.merges));
  QWEN25_RETURN_IF_ERROR(keys.Read(name("bos_token_id"), parts.bos_id));
  QWEN25_RETURN_IF_ERROR(keys.Read(name("eos_token_id"), parts.eos_id));
  QWEN25_RETURN_IF_ERROR(keys.Read(name("unknown_token_id"), parts.unk_id));
  QWEN25_RETURN_IF_ERROR(keys.Read(name("padding_token_id"), parts.pad_id));
  QWEN25_RETURN_IF_ERROR(keys.Read(name("add_bos_token"), parts.add_bos));
  QWEN25_RETURN_IF_ERROR(keys.Read(name("add_eos_token"), parts.add_eos));
  QWEN25_RETURN_IF_ERROR(keys.Read(name("add_space_prefix"), parts.add_space_prefix));
  QWEN25_RETURN_IF_ERROR(keys.Read(name("remove_extra_whitespaces"), parts.remove_extra_whitespaces));
  QWEN25_RETURN_IF_ERROR(keys.Read("tokenizer.chat_template", parts.chat_template));
  std::vector<std::string> names;
  QWEN25_RETURN_IF_ERROR(keys.Read("tokenizer.chat_templates", names));
  for (const std::string& template_name : names) {
    std::string source;
    QWEN25_RETURN_IF_ERROR(keys.Read("tokenizer.chat_template." + template_name, source));
    if (!source.empty()) parts.named_chat_templates.emplace_back(template_name, std::move(source));
  }
  for (const char* key : {"eot_token_id", "eom_token_id"}) {
    std::optional<int32_t> id;
    QWEN25_RETURN_IF_ERROR(keys.Read(name(key), id));
    if (id && static_cast<size_t>(*id) < parts.tokens.size()) parts.turn_end_ids.push_back(*id);
  }
  // A role is left out if its token is not in the vocabulary.
  for (std::optional<int32_t>* id : {&parts.bos_id, &parts.eos_id, &parts.unk_id, &parts.pad_id}) {
    if (*id && static_cast<size_t>(**id) >= parts.tokens.size()) id->reset();
  }
  return TokenizerFromGguf(parts, origin);
}

Status SetGgufTokenizer(const Tokenizer& tokenizer, const ModelConfig& config, const std::string& origin,
                        GgufMetadata& metadata) {
  QWEN25_TRY(GgufTokenizer parts, GgufTokenizerOf(tokenizer, config.vocab_size, origin));
  const auto name = [](std::string_view key) { return std::string(kPrefix) + std::string(key); };
  metadata.SetString(name("model"), parts.model);
  metadata.SetString(name("pre"), parts.model == "gpt2" ? parts.pre : "default");
  metadata.SetStrings(name("tokens"), parts.tokens);
  if (!parts.scores.empty()) metadata.SetF32s(name("scores"), parts.scores);
  metadata.SetI32s(name("token_type"), parts.token_types);
  if (parts.model == "gpt2") metadata.SetStrings(name("merges"), parts.merges);
  if (!parts.bos_id) parts.bos_id = config.bos_token_id;
  if (!parts.eos_id && !config.eos_token_ids.empty()) parts.eos_id = config.eos_token_ids[0];
  for (const auto& [key, id] : {std::pair{"bos_token_id", parts.bos_id},
                                {"eos_token_id", parts.eos_id},
                                {"unknown_token_id", parts.unk_id},
                                {"padding_token_id", parts.pad_id}}) {
    if (id) metadata.SetU32(name(key), static_cast<uint32_t>(*id));
  }
  for (const auto& [key, value] : {std::pair{"add_bos_token", parts.add_bos},
                                   {"add_eos_token", parts.add_eos},
                                   {"add_space_prefix", parts.add_space_prefix}}) {
    if (value) metadata.SetBool(name(key), *value);
  }
  if (!parts.chat_template.empty()) metadata.SetString("tokenizer.chat_template", parts.chat_template);
  if (!parts.named_chat_templates.empty()) {
    std::vector<std::string> names;
    for (const auto& [template_name, source] : parts.named_chat_templates) {
      names.push_back(template_name);
      metadata.SetString("tokenizer.chat_template." + template_name, source);
    }
    metadata.SetStrings("tokenizer.chat_templates", names);
  }
  return {};
}

}  // namespace qwen25

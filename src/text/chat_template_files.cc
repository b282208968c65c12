#include <algorithm>

#include "base/file.h"
#include "text/chat_template.h"
#include "text/utf8.h"

namespace qwen25 {
namespace {

using Named = std::vector<std::pair<std::string, std::string>>;

// How an unexpected value is shown in a message: its text, cut to a line's worth.
std::string Shown(const Json& value) {
  std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  return text;
}

// The member `key` of an object; null if it is absent.
Json Member(const Json& object, const std::string& key) {
  return object.is_object() ? object.value(key, Json()) : Json();
}

// A token in a configuration: "token" or {"content": "token"}.
std::optional<std::string> TokenText(const Json& value) {
  const Json content = value.is_object() ? Member(value, "content") : value;
  if (!content.is_string()) return std::nullopt;
  return content.get<std::string>();
}

// The members that name a token ("bos_token", "image_token"), unless they are known already.
void AddSpecialTokens(const Json& config, Named& tokens) {
  if (!config.is_object()) return;
  for (const auto& [key, value] : config.items()) {
    const std::optional<std::string> text = TokenText(value);
    const bool is_known = std::ranges::find(tokens, key, &Named::value_type::first) != tokens.end();
    if (key.ends_with("_token") && text && !is_known) tokens.emplace_back(key, *text);
  }
}

Result<Json> ReadIfThere(const std::filesystem::path& path) {
  if (!std::filesystem::exists(path)) return Json();
  QWEN25_TRY(Json json, ReadJsonFile(path.string()));
  if (!json.is_object()) return InvalidArgument("{}: is {}, expected an object", path.string(), Shown(json));
  return json;
}

// The further templates of a folder, by the names of their files.
Result<Named> AdditionalTemplates(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> paths;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
    if (entry.path().extension() == ".jinja") paths.push_back(entry.path());
  }
  std::ranges::sort(paths);
  Named named;
  for (const std::filesystem::path& path : paths) {
    QWEN25_TRY(std::string jinja, ReadFile(path));
    named.emplace_back(path.stem().string(), std::move(jinja));
  }
  return named;
}

bool HasDefault(const Named& named) {
  return std::ranges::find(named, "default", &Named::value_type::first) != named.end();
}

}  // namespace

Result<Named> NamedChatTemplates(const Json& chat_template, std::string_view origin) {
  Named named;
  const auto add = [&](const Json& name, const Json& source) -> Status {
    if (!name.is_string() || !source.is_string()) {
      return InvalidArgument("{}: a template of \"chat_template\" is {} called {}, expected strings", origin,
                             Shown(source), Shown(name));
    }
    named.emplace_back(name, source);
    return {};
  };
  if (chat_template.is_string()) {
    named.emplace_back("default", chat_template);
  } else if (chat_template.is_array()) {
    for (const Json& entry : chat_template) {
      QWEN25_RETURN_IF_ERROR(add(Member(entry, "name"), Member(entry, "template")));
    }
  } else if (chat_template.is_object()) {
    for (const auto& [name, source] : chat_template.items()) QWEN25_RETURN_IF_ERROR(add(Json(name), source));
  } else if (!chat_template.is_null()) {
    return InvalidArgument("{}: \"chat_template\" is {}, expected a string", origin, Shown(chat_template));
  }
  return named;
}

Result<ChatTemplateSources> ReadChatTemplateSources(const std::filesystem::path& folder) {
  const std::filesystem::path own_file = folder / "chat_template.jinja",
                              config_path = folder / "tokenizer_config.json";
  QWEN25_TRY(const Json config, ReadIfThere(config_path));
  ChatTemplateSources sources;
  AddSpecialTokens(config, sources.special_tokens);
  AddSpecialTokens(Member(config, "extra_special_tokens"), sources.special_tokens);
  QWEN25_TRY(const Json map, ReadIfThere(folder / "special_tokens_map.json"));
  AddSpecialTokens(map, sources.special_tokens);
  if (std::filesystem::exists(own_file)) {
    sources.origin = own_file.string();
    QWEN25_TRY(std::string jinja, ReadFile(own_file));
    QWEN25_TRY(sources.named, AdditionalTemplates(folder / "additional_chat_templates"));
    sources.named.emplace(sources.named.begin(), "default", std::move(jinja));
    return sources;
  }
  sources.origin = config_path.string();
  QWEN25_TRY(sources.named, NamedChatTemplates(Member(config, "chat_template"), sources.origin));
  if (sources.named.empty()) {
    const std::filesystem::path processor_path = folder / "chat_template.json";
    QWEN25_TRY(const Json processor, ReadIfThere(processor_path));
    QWEN25_TRY(sources.named,
               NamedChatTemplates(Member(processor, "chat_template"), processor_path.string()));
    if (!sources.named.empty()) sources.origin = processor_path.string();
  }
  if (HasDefault(sources.named)) return sources;
  return NotFound("{}: has no default \"chat_template\", and there is no {}: the model was not made for chat",
                  sources.origin, own_file.string());
}

Result<ChatTemplateSources> ChatTemplateSourcesOf(const TokenizerSpec& spec, const std::string& origin) {
  ChatTemplateSources sources{.origin = origin};
  QWEN25_TRY(sources.named, NamedChatTemplates(Member(spec.config, "chat_template"), origin));
  if (!HasDefault(sources.named) && !spec.chat_template.empty()) {
    sources.named.emplace(sources.named.begin(), "default", spec.chat_template);
  }
  if (!HasDefault(sources.named)) return NotFound("{}: has no chat template", origin);
  for (const auto& [name, text] : {std::pair{"bos_token", &spec.bos_token},
                                   {"eos_token", &spec.eos_token},
                                   {"unk_token", &spec.unk_token},
                                   {"pad_token", &spec.pad_token}}) {
    if (!text->empty()) sources.special_tokens.emplace_back(name, *text);
  }
  return sources;
}

}  // namespace qwen25

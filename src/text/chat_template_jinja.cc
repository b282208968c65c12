#include "text/chat_template_jinja.h"

#include <optional>
#include <span>

#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"

namespace qwen25 {
namespace {

// The template that this program writes: its default system text stands between kHead and kBody. Every tag
// strips the white space around it, so the layout is free.
constexpr std::string_view kHead = "{%- set default_system = \"";
constexpr std::string_view kBody = R"JINJA(" -%}
{%- if messages and messages[0].role == "system" -%}
  {%- set system, turns = messages[0].content, messages[1:] -%}
{%- else -%}
  {%- set system, turns = default_system, messages -%}
{%- endif -%}
{{- "<|im_start|>system\n" ~ system -}}
{%- if tools -%}
  {{- "\n\n# Tools\n\nYou may call one or more functions to assist with the user query.\n\n" -}}
  {{- "You are provided with function signatures within <tools></tools> XML tags:\n<tools>" -}}
  {%- for tool in tools -%}
    {{- "\n" ~ (tool | tojson) -}}
  {%- endfor -%}
  {{- "\n</tools>\n\nFor each function call, return a json object with function name and arguments " -}}
  {{- "within <tool_call></tool_call> XML tags:\n<tool_call>\n" -}}
  {{- '{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>' -}}
{%- endif -%}
{{- "<|im_end|>\n" -}}
{%- for message in turns -%}
  {%- if message.role == "tool" -%}
    {%- if loop.first or turns[loop.index0 - 1].role != "tool" -%}
      {{- "<|im_start|>user" -}}
    {%- endif -%}
    {{- "\n<tool_response>\n" ~ message.content ~ "\n</tool_response>" -}}
    {%- if loop.last or turns[loop.index0 + 1].role != "tool" -%}
      {{- "<|im_end|>\n" -}}
    {%- endif -%}
  {%- elif message.role == "assistant" and message.tool_calls -%}
    {{- "<|im_start|>assistant" -}}
    {%- if message.content -%}
      {{- "\n" ~ message.content -}}
    {%- endif -%}
    {%- for item in message.tool_calls -%}
      {%- set call = item.function if item.function is defined else item -%}
      {{- '\n<tool_call>\n{"name": "' ~ call.name ~ '", "arguments": ' -}}
      {{- (call.arguments | tojson) ~ "}\n</tool_call>" -}}
    {%- endfor -%}
    {{- "<|im_end|>\n" -}}
  {%- elif message.role in ["system", "user", "assistant"] -%}
    {{- "<|im_start|>" ~ message.role ~ "\n" ~ message.content ~ "<|im_end|>\n" -}}
  {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
  {{- "<|im_start|>assistant\n" -}}
{%- endif -%})JINJA";

// Hash64 of Qwen2.5's template with its default system text taken out in both places where it stands.
constexpr uint64_t kOfficialHash = 0xeabb709d63012ada;

// Jinja string literals escape as Python's do. Prose needs few of the escapes.
std::string Escape(std::string_view text) {
  std::string literal;
  for (const char c : text) {
    if (c == '\\' || c == '"') literal += '\\';
    if (c == '\n' || c == '\r') {
      literal += c == '\n' ? "\\n" : "\\r";
    } else {
      literal += c;
    }
  }
  return literal;
}
std::string Unescape(std::string_view literal) {
  std::string text;
  for (size_t i = 0; i < literal.size(); ++i) {
    if (literal[i] != '\\' || i + 1 == literal.size()) {
      text += literal[i];
      continue;
    }
    switch (const char escaped = literal[++i]) {
      case 'n':
        text += '\n';
        break;
      case 'r':
        text += '\r';
        break;
      case 't':
        text += '\t';
        break;
      case '\\':
      case '\'':
      case '"':
        text += escaped;
        break;
      default:
        text += '\\';
        text += escaped;
    }
  }
  return text;
}

// Removes `wanted` between `before` and `after` where that first stands in `text`.
void RemoveOnce(std::string& text, std::string_view before, std::string_view wanted, std::string_view after) {
  const size_t at = text.find(fmt::format("{}{}{}", before, wanted, after));
  if (at != std::string::npos) text.erase(at + before.size(), wanted.size());
}

std::optional<std::string> RecogniseOfficial(std::string_view jinja) {
  // The default system text stands once as a whole turn and once alone, before the list of tools.
  constexpr std::string_view kBefore = "'<|im_start|>system\\n";
  constexpr std::string_view kAfter = "<|im_end|>\\n'";
  size_t begin = jinja.find(kBefore);
  while (begin != std::string_view::npos && jinja.substr(begin + kBefore.size()).starts_with('\'')) {
    begin = jinja.find(kBefore, begin + 1);
  }
  if (begin == std::string_view::npos) return std::nullopt;
  begin += kBefore.size();
  const size_t end = jinja.find(kAfter, begin);
  if (end == std::string_view::npos) return std::nullopt;
  const std::string_view literal = jinja.substr(begin, end - begin);

  std::string rest(jinja);
  RemoveOnce(rest, kBefore, literal, kAfter);
  RemoveOnce(rest, "{{- '", literal, "' }}");
  if (Hash64(std::as_bytes(std::span(rest))) != kOfficialHash) return std::nullopt;
  return Unescape(literal);
}

std::optional<std::string> RecogniseOwn(std::string_view jinja) {
  if (jinja.size() < kHead.size() + kBody.size() || !jinja.starts_with(kHead) || !jinja.ends_with(kBody)) {
    return std::nullopt;
  }
  std::string text = Unescape(jinja.substr(kHead.size(), jinja.size() - kHead.size() - kBody.size()));
  if (ChatTemplateSource(text) != jinja) return std::nullopt;
  return text;
}

// How an unexpected value is shown in a message: its text, cut to a line's worth.
std::string Shown(const Json& value) {
  std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  return text;
}

// The member `key` of an object; null where it is absent.
Json Member(const Json& object, const char* key) {
  return object.is_object() ? object.value(key, Json()) : Json();
}

}  // namespace

std::string ChatTemplateSource(std::string_view default_system) {
  return fmt::format("{}{}{}", kHead, Escape(default_system), kBody);
}

Result<std::string> RecogniseChatTemplate(std::string_view jinja, std::string_view origin) {
  const size_t num_bytes = jinja.size();
  // A template engine drops a newline at the end, and a file may have one.
  while (jinja.ends_with('\n')) jinja.remove_suffix(1);
  if (auto system = RecogniseOfficial(jinja)) return std::move(*system);
  if (auto system = RecogniseOwn(jinja)) return std::move(*system);
  return Unsupported(
      "{}: the chat template ({} bytes) is not Qwen2.5's, the only one that this program renders; prompts in "
      "a wrong format would be ones that the model was not trained on. Use plain completion with this model, "
      "or put Qwen2.5's template in its place",
      origin, num_bytes);
}

Result<std::string> ReadChatTemplate(const std::filesystem::path& folder) {
  const std::filesystem::path own_file = folder / "chat_template.jinja";
  if (std::filesystem::exists(own_file)) {
    QWEN25_TRY(const std::string jinja, ReadFile(own_file));
    return RecogniseChatTemplate(jinja, own_file.string());
  }
  const std::string config_path = (folder / "tokenizer_config.json").string();
  QWEN25_TRY(const Json config, ReadJsonFile(config_path));
  if (!config.is_object())
    return InvalidArgument("{}: is {}, expected an object", config_path, Shown(config));
  Json chat_template = Member(config, "chat_template");
  if (chat_template.is_array()) {  // a list of named templates
    Json found;
    for (const Json& entry : chat_template) {
      if (Member(entry, "name") == "default") found = Member(entry, "template");
    }
    chat_template = std::move(found);
  }
  if (chat_template.is_null()) {
    return NotFound(
        "{}: has no default \"chat_template\", and there is no {}: the model was not made for chat",
        config_path, own_file.string());
  }
  if (!chat_template.is_string()) {
    return InvalidArgument("{}: \"chat_template\" is {}, expected a string", config_path,
                           Shown(chat_template));
  }
  return RecogniseChatTemplate(chat_template.get_ref<const std::string&>(), config_path);
}

}  // namespace qwen25

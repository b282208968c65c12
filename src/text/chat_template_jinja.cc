#include "text/chat_template_jinja.h"

#include <optional>
#include <span>

#include "base/hash.h"
#include "text/jinja_tokens.h"

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

// Hash64 of the pieces of Qwen2.5's template, with kDefaultSystem in both places of its default system text.
constexpr uint64_t kOfficialHash = 0x1a8c79a66d5a1aa5;
constexpr std::string_view kDefaultSystem{"\x01", 1};
// Qwen2's template (and Qwen1.5's, with another system text), with kDefaultSystem for its default system
// text.
constexpr std::string_view kTurnsOnly =
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\n\x01<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

// `text` with the escapes of a Jinja string literal that prose needs.
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

uint64_t HashOf(const std::vector<JinjaPiece>& pieces) {
  std::string all;
  for (const JinjaPiece& piece : pieces) {
    all += fmt::format("{} {} ", static_cast<int>(piece.kind), piece.content.size());
    all += piece.content;
  }
  return Hash64(std::as_bytes(std::span(all)));
}

std::optional<ChatFormat> RecogniseOfficial(std::vector<JinjaPiece> pieces) {
  constexpr std::string_view kBefore = "<|im_start|>system\n", kAfter = "<|im_end|>\n";
  constexpr std::string_view kCall = R"({"name": <function-name>, "arguments": <args-json-object>})";
  ChatFormat format;
  JinjaPiece* turn = nullptr;
  for (JinjaPiece& piece : pieces) {
    if (piece.kind != JinjaPiece::Kind::kText) continue;
    const std::string& text = piece.content;
    if (turn == nullptr && text.size() >= kBefore.size() + kAfter.size() && text.starts_with(kBefore) &&
        text.ends_with(kAfter)) {
      turn = &piece;
    }
    if (const size_t at = text.find(fmt::format("{{{}}}", kCall)); at != std::string::npos) {
      format.doubled_braces = true;
      piece.content.replace(at, kCall.size() + 2, kCall);
    }
  }
  if (turn == nullptr) return std::nullopt;
  // The default system text stands once as a whole turn and once alone, before the list of tools.
  format.default_system =
      turn->content.substr(kBefore.size(), turn->content.size() - kBefore.size() - kAfter.size());
  turn->content = fmt::format("{}{}{}", kBefore, kDefaultSystem, kAfter);
  for (JinjaPiece& piece : pieces) {
    if (piece.kind != JinjaPiece::Kind::kText || piece.content != format.default_system) continue;
    piece.content = kDefaultSystem;
    break;
  }
  if (HashOf(pieces) != kOfficialHash) return std::nullopt;
  return format;
}

std::optional<ChatFormat> RecogniseTurnsOnly(const std::vector<JinjaPiece>& pieces) {
  constexpr std::string_view kBefore = "<|im_start|>system\n", kAfter = "<|im_end|>\n";
  const Result<std::vector<JinjaPiece>> wanted = JinjaPieces(kTurnsOnly);
  if (!wanted.ok() || wanted->size() != pieces.size()) return std::nullopt;
  ChatFormat format{.knows_tools = false};
  for (size_t i = 0; i < pieces.size(); ++i) {
    const std::string& text = pieces[i].content;
    if (pieces[i] == (*wanted)[i]) continue;
    const bool is_system = (*wanted)[i].content == fmt::format("{}{}{}", kBefore, kDefaultSystem, kAfter);
    if (!is_system || pieces[i].kind != JinjaPiece::Kind::kText ||
        text.size() < kBefore.size() + kAfter.size() || !text.starts_with(kBefore) ||
        !text.ends_with(kAfter)) {
      return std::nullopt;
    }
    format.default_system = text.substr(kBefore.size(), text.size() - kBefore.size() - kAfter.size());
  }
  return format;
}

std::optional<ChatFormat> RecogniseOwn(const std::vector<JinjaPiece>& pieces) {
  constexpr std::string_view kSet = "set default_system = \"";
  if (pieces.empty() || pieces[0].kind != JinjaPiece::Kind::kStatement) return std::nullopt;
  const std::string& set = pieces[0].content;
  if (!set.starts_with(kSet) || !set.ends_with('"') || set.size() == kSet.size()) return std::nullopt;
  ChatFormat format;
  for (size_t i = kSet.size(); i + 1 < set.size(); ++i) {
    if (set[i] == '\\') ++i;
    format.default_system += set[i];
  }
  const Result<std::vector<JinjaPiece>> own = JinjaPieces(ChatTemplateSource(format.default_system));
  if (!own.ok() || *own != pieces) return std::nullopt;
  return format;
}

}  // namespace

std::string ChatTemplateSource(std::string_view default_system) {
  return fmt::format("{}{}{}", kHead, Escape(default_system), kBody);
}

Result<ChatFormat> RecogniseChatFormat(std::string_view jinja, std::string_view origin) {
  if (const Result<std::vector<JinjaPiece>> pieces = JinjaPieces(jinja); pieces.ok()) {
    if (auto format = RecogniseOfficial(*pieces)) return std::move(*format);
    if (auto format = RecogniseOwn(*pieces)) return std::move(*format);
    if (auto format = RecogniseTurnsOnly(*pieces)) return std::move(*format);
  }
  return Unsupported("{}: the chat template ({} bytes) is not Qwen2.5's or Qwen2's", origin, jinja.size());
}

Result<std::string> RecogniseChatTemplate(std::string_view jinja, std::string_view origin) {
  QWEN25_TRY(ChatFormat format, RecogniseChatFormat(jinja, origin));
  return std::move(format.default_system);
}

}  // namespace qwen25

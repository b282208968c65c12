#include "text/chat_template.h"

#include <algorithm>
#include <array>

#include "text/jinja_chat.h"
#include "text/qwen_chat.h"

namespace qwen25 {
namespace {

using jinja::Mark;
using jinja::MarkedText;

// One of a model's templates.
struct Compiled {
  std::string name;
  std::optional<jinja::Template> program;  // none if only the format is known
  std::optional<ChatFormat> format;        // of a template that is written out in C++
  bool knows_parts = false;                // reads contents that are lists of parts
  bool knows_developers = false;
};

SpecialTokens SpecialOf(Mark mark, bool parse_special) {
  if (parse_special || mark == Mark::kTemplate) return SpecialTokens::kParse;
  return mark == Mark::kTrusted ? SpecialTokens::kControlAsText : SpecialTokens::kAsText;
}

std::vector<TextPart> PartsOf(const MarkedText& text, bool parse_special) {
  std::vector<TextPart> parts;
  text.ForEachRun([&](std::string_view run, Mark mark) {
    const SpecialTokens special = SpecialOf(mark, parse_special);
    if (parts.empty() || parts.back().special != special) parts.push_back({.text = "", .special = special});
    parts.back().text += run;
  });
  return parts;
}

std::string TextOf(const std::vector<TextPart>& parts) {
  std::string text;
  for (const TextPart& part : parts) text += part.text;
  return text;
}

// The parts behind the first `bytes` bytes.
std::vector<TextPart> PartsFrom(const std::vector<TextPart>& parts, size_t bytes) {
  std::vector<TextPart> rest;
  for (const TextPart& part : parts) {
    const size_t skipped = std::min(bytes, part.text.size());
    bytes -= skipped;
    if (skipped < part.text.size())
      rest.push_back({.text = part.text.substr(skipped), .special = part.special});
  }
  return rest;
}

std::vector<int32_t> TokensOf(const Tokenizer& tokenizer, const std::vector<TextPart>& parts) {
  std::vector<int32_t> ids;
  tokenizer.Encode(parts, ids);
  return ids;
}

// A call as templates expect it: {"type": "function", "function": {"name", "arguments": object}} and whatever
// else the request has.
Json CallForTemplate(const Json& as_read, const ToolCall& call) {
  Json outer = as_read.is_object() ? as_read : Json::object();
  Json function =
      outer.contains("function") && outer["function"].is_object() ? outer["function"] : Json::object();
  function["name"] = call.name;
  function["arguments"] = call.arguments;
  outer.erase("name");
  outer.erase("arguments");
  if (!outer.contains("type")) outer["type"] = "function";
  outer["function"] = std::move(function);
  return outer;
}

bool IsTextParts(const Json& content) {
  return content.is_array() && std::ranges::all_of(content, [](const Json& part) {
           return part.is_object() && part.value("type", Json()) == "text" &&
                  part.value("text", Json()).is_string();
         });
}

// The message as a template gets it: what was read, with what ParseMessages makes of it in its place.
Json MessageForTemplate(const ChatMessage& message, const Compiled& compiled) {
  Json json = MessageJson(message);
  const bool keeps_role = compiled.knows_developers && json.value("role", Json()) == "developer";
  if (!keeps_role) json["role"] = message.role;
  const Json content = json.value("content", Json());
  // An answer that calls functions need not say anything; to the template its content is then not there.
  const bool is_call_alone = content.is_null() && !message.tool_calls.empty();
  const bool keeps_content = is_call_alone || (compiled.knows_parts && IsTextParts(content));
  if (!keeps_content) json["content"] = message.content;
  if (message.tool_calls.empty()) return json;
  Json calls = Json::array();
  const Json as_read = json.value("tool_calls", Json());
  for (size_t i = 0; i < message.tool_calls.size(); ++i) {
    calls.push_back(CallForTemplate(as_read.is_array() && i < as_read.size() ? as_read[i] : Json(),
                                    message.tool_calls[i]));
  }
  json["tool_calls"] = std::move(calls);
  return json;
}

}  // namespace

struct ChatTemplate::State {
  std::vector<Compiled> templates;  // the first one is the default
  std::vector<std::pair<std::string, std::string>> special_tokens;
  std::optional<std::string> default_system;

  const Compiled& For(const ChatPromptOptions& options) const {
    for (const Compiled& compiled : templates) {
      if (compiled.name == "tool_use" && !options.tools.is_null()) return compiled;
      if (compiled.name == "rag" && !options.documents.is_null()) return compiled;
    }
    return templates.front();
  }
};

Result<ChatTemplate> ChatTemplate::Compile(ChatTemplateSources sources) {
  auto state = std::make_shared<State>();
  std::stable_partition(sources.named.begin(), sources.named.end(),
                        [](const auto& source) { return source.first == "default"; });
  for (const auto& [name, source] : sources.named) {
    const std::string origin =
        sources.named.size() == 1 ? sources.origin : fmt::format("{} (\"{}\")", sources.origin, name);
    Compiled compiled{.name = name};
    QWEN25_TRY(compiled.program, jinja::Template::Parse(source, origin));
    if (Result<ChatFormat> format = RecogniseChatFormat(source, origin); format.ok())
      compiled.format = *format;
    compiled.knows_parts = compiled.program->Mentions("text") && compiled.program->Mentions("type");
    compiled.knows_developers = compiled.program->Mentions("developer");
    state->templates.push_back(std::move(compiled));
  }
  if (state->templates.empty()) return NotFound("{}: has no chat template", sources.origin);
  if (state->templates.front().format)
    state->default_system = state->templates.front().format->default_system;
  state->special_tokens = std::move(sources.special_tokens);
  return ChatTemplate(std::move(state));
}

ChatTemplate ChatTemplate::OfFormat(ChatFormat format) {
  auto state = std::make_shared<State>();
  state->default_system = format.default_system;
  state->templates.push_back({.name = "default", .program = {}, .format = std::move(format)});
  return ChatTemplate(std::move(state));
}

Result<std::vector<TextPart>> ChatTemplate::RenderParts(std::span<const ChatMessage> messages,
                                                        const ChatPromptOptions& options) const {
  const Compiled& compiled = state_->For(options);
  if (compiled.format && (!options.continue_final_message || !compiled.program)) {
    return RenderQwenChatParts(messages, {.default_system = compiled.format->default_system,
                                          .tools = options.tools,
                                          .add_generation_prompt = options.add_generation_prompt,
                                          .continue_final_message = options.continue_final_message,
                                          .doubled_braces = compiled.format->doubled_braces,
                                          .parse_special = options.parse_special});
  }
  JinjaChat chat{.tools = options.tools,
                 .documents = options.documents,
                 .add_generation_prompt = options.add_generation_prompt && !options.continue_final_message,
                 .continue_final_message = options.continue_final_message,
                 .variables = options.variables,
                 .special_tokens = state_->special_tokens};
  for (const ChatMessage& message : messages) chat.messages.push_back(MessageForTemplate(message, compiled));
  QWEN25_TRY(const MarkedText text, RenderJinjaChat(*compiled.program, chat));
  return PartsOf(text, options.parse_special);
}

Result<std::string> ChatTemplate::Render(std::span<const ChatMessage> messages,
                                         const ChatPromptOptions& options) const {
  QWEN25_TRY(const std::vector<TextPart> parts, RenderParts(messages, options));
  return TextOf(parts);
}

Result<std::vector<int32_t>> ChatTemplate::Encode(const Tokenizer& tokenizer,
                                                  std::span<const ChatMessage> messages,
                                                  const ChatPromptOptions& options) const {
  QWEN25_TRY(const std::vector<TextPart> parts, RenderParts(messages, options));
  return TokensOf(tokenizer, parts);
}

std::vector<int32_t> ChatTemplate::EncodeTurn(const Tokenizer& tokenizer, const ChatMessage& message) const {
  const Compiled& compiled = state_->templates.front();
  if (compiled.format) return EncodeQwenTurn(tokenizer, message);
  // What the message adds to a conversation that came before it; or, if the template writes that anew, all of
  // a conversation that has nothing else.
  const bool is_answer = message.role == "assistant";
  std::vector<ChatMessage> messages = {{.role = "user", .content = "Hello"}};
  if (!is_answer) messages.push_back({.role = "assistant", .content = "Hello"});
  const ChatPromptOptions options{.add_generation_prompt = false};
  const auto shows_it = [&](const std::string& text) {
    return text.find(message.content) != std::string::npos;
  };
  const Result<std::string> before = Render(messages, options);
  messages.push_back(message);
  const Result<std::vector<TextPart>> all = RenderParts(messages, options);
  if (before.ok() && all.ok() && TextOf(*all).starts_with(*before)) {
    const std::vector<TextPart> turn = PartsFrom(*all, before->size());
    if (shows_it(TextOf(turn))) return TokensOf(tokenizer, turn);
  }
  const Result<std::vector<TextPart>> alone = RenderParts({&message, 1}, options);
  if (alone.ok() && shows_it(TextOf(*alone))) return TokensOf(tokenizer, *alone);
  return tokenizer.Encode(message.content, {.special = SpecialTokens::kAsText});
}

const std::optional<std::string>& ChatTemplate::default_system() const {
  return state_->default_system;
}

bool ChatTemplate::knows_tools() const {
  return std::ranges::any_of(state_->templates, [](const Compiled& compiled) {
    if (compiled.format) return compiled.format->knows_tools;
    return compiled.program->Mentions("tools") || compiled.program->Mentions("tool_calls");
  });
}

std::vector<int32_t> ChatTemplate::TurnEnds(const Tokenizer& tokenizer) const {
  std::vector<int32_t> ends;
  const auto mentions = [&](std::string_view text) {
    return std::ranges::any_of(state_->templates, [&](const Compiled& compiled) {
      if (compiled.format && text == "<|im_end|>") return true;
      return compiled.program && compiled.program->source().find(text) != std::string::npos;
    });
  };
  for (const int32_t id : KnownTurnEnds(tokenizer)) {
    if (mentions(tokenizer.TokenBytes(id))) ends.push_back(id);
  }
  // Qwen2.5's own, even where a vocabulary does not mark it as a control token.
  if (const auto id = tokenizer.TokenId("<|im_end|>"); id && mentions("<|im_end|>")) ends.push_back(*id);
  return ends;
}

std::vector<int32_t> KnownTurnEnds(const Tokenizer& tokenizer) {
  static constexpr std::array<std::string_view, 21> kEnds = {"<|im_end|>",
                                                             "<|endoftext|>",
                                                             "<|eot_id|>",
                                                             "<|eom_id|>",
                                                             "<|end_of_text|>",
                                                             "<|end|>",
                                                             "<|return|>",
                                                             "<|call|>",
                                                             "<end_of_turn>",
                                                             "<turn|>",
                                                             "<eos>",
                                                             "</s>",
                                                             "<EOT>",
                                                             "_<EOT>",
                                                             "[EOT]",
                                                             "[EOS]",
                                                             "<end_of_utterance>",
                                                             "<|END_OF_TURN_TOKEN|>",
                                                             "<|endofturn|>",
                                                             "[e~[",
                                                             "<｜end▁of▁sentence｜>"};
  const auto id_of = [&](std::string_view text) { return tokenizer.TokenId(text); };
  // In models of gpt-oss's kind, <|end|> only ends a part of an answer.
  const bool has_parts = id_of("<|return|>") && id_of("<|call|>");
  std::vector<int32_t> ends;
  for (const std::string_view text : kEnds) {
    if (has_parts && text == "<|end|>") continue;
    const std::optional<int32_t> id = id_of(text);
    if (id && tokenizer.IsSpecial(*id)) ends.push_back(*id);
  }
  return ends;
}

}  // namespace qwen25

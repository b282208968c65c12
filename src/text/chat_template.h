// Chat templates: how a model wants conversations written. A model brings its template as a program in Jinja
// (jinja/template.h), which is run; those of Qwen2.5 and Qwen2 are written out in C++ (qwen_chat.h).
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "text/chat_message.h"
#include "text/chat_template_jinja.h"
#include "text/tokenizer.h"

namespace qwen25 {

// A model's templates as its files hold them.
struct ChatTemplateSources {
  std::string origin;  // the file, for messages
  // Jinja sources by name: "default", and perhaps "tool_use" and "rag", which are for requests with tools and
  // with documents.
  std::vector<std::pair<std::string, std::string>> named = {};
  // What templates know as "bos_token" and so on.
  std::vector<std::pair<std::string, std::string>> special_tokens = {};
};

// What a prompt is made of, beside its messages.
struct ChatPromptOptions {
  Json tools = nullptr;      // array of function signatures, or null
  Json documents = nullptr;  // array of objects, or null
  // The prompt ends with the opening of the assistant's turn; with `continue_final_message` it ends inside of
  // the last message instead, which the model continues.
  bool add_generation_prompt = true;
  bool continue_final_message = false;
  Json variables = Json::object();  // further variables of the template: {"enable_thinking": false}
  // "<|im_end|>" in a message is the token, as in transformers. Whoever wrote a message's text can then end
  // the turn and begin another one.
  bool parse_special = false;
};

// Immutable, cheap to copy, safe to use from many threads at once.
class ChatTemplate {
 public:
  // Compiles all templates. kNotFound if there is none; errors of jinja::Template::Parse.
  static Result<ChatTemplate> Compile(ChatTemplateSources sources);
  // The template of Qwen2.5 or Qwen2 with this system text.
  static ChatTemplate OfFormat(ChatFormat format);

  // The prompt in parts for the tokenizer. All added tokens are recognised in the template's own parts. In
  // messages, control tokens are ordinary text; other added tokens, such as "<tool_call>", are tokens in
  // system texts, tools and the model's own answers, and ordinary text in what users, tools and documents
  // say. kInvalidArgument if the template refuses the conversation, with its own words; kResourceExhausted if
  // it does not come to an end.
  Result<std::vector<TextPart>> RenderParts(std::span<const ChatMessage> messages,
                                            const ChatPromptOptions& options) const;
  // The text of the prompt.
  Result<std::string> Render(std::span<const ChatMessage> messages, const ChatPromptOptions& options) const;
  // The tokens of the prompt. Nothing is put before them: a template that wants <s> prints it.
  Result<std::vector<int32_t>> Encode(const Tokenizer& tokenizer, std::span<const ChatMessage> messages,
                                      const ChatPromptOptions& options) const;
  // The tokens of one message alone, a turn of its own: what it adds to a conversation. If the template
  // prints no such turn, the tokens of its text.
  std::vector<int32_t> EncodeTurn(const Tokenizer& tokenizer, const ChatMessage& message) const;

  // What stands in for a missing system message, as far as that is known.
  const std::optional<std::string>& default_system() const;
  // Whether lists of tools, calls and results can be rendered.
  bool knows_tools() const;
  // The tokens that end a turn: those of the well-known ones that the template mentions.
  std::vector<int32_t> TurnEnds(const Tokenizer& tokenizer) const;

 private:
  struct State;
  explicit ChatTemplate(std::shared_ptr<const State> state) : state_(std::move(state)) {}

  std::shared_ptr<const State> state_;
};

// The tokens of the vocabulary that are known to end a turn or a text in one family of models or another:
// control tokens such as <|im_end|>, <|eot_id|>, <end_of_turn> and </s>. Source: the list of llama.cpp.
std::vector<int32_t> KnownTurnEnds(const Tokenizer& tokenizer);

// The templates of a checkpoint's folder: chat_template.jinja with additional_chat_templates/NAME.jinja, else
// `chat_template` in tokenizer_config.json (a string, or several with names), else `chat_template` in
// chat_template.json, where processors keep it. kNotFound if there is none called "default".
Result<ChatTemplateSources> ReadChatTemplateSources(const std::filesystem::path& folder);
// Those that a tokenizer brings, as one from a GGUF file does. The same error.
Result<ChatTemplateSources> ChatTemplateSourcesOf(const TokenizerSpec& spec, const std::string& origin);
// `chat_template` of a tokenizer_config.json: a string, a list of {"name", "template"}, or an object by name.
// kInvalidArgument, naming `origin`, for anything else.
Result<std::vector<std::pair<std::string, std::string>>> NamedChatTemplates(const Json& chat_template,
                                                                            std::string_view origin);

}  // namespace qwen25

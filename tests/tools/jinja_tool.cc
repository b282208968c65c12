// What check_chat_templates.py and make_jinja_fixtures.py drive; not installed.
//
//   jinja_tool < REQUESTS > ANSWERS
//
// REQUESTS holds a JSON object per line: {"template": source, "now": seconds since 1970} and either
// "variables", an object, or a conversation: "messages", "tools" and "arguments", which are those of
// transformers' apply_chat_template. Each is answered by a line: {"text": what it renders} or {"error":
// message}.
#include <iostream>
#include <string>

#include "text/jinja_chat.h"
#include "text/python_json.h"

namespace qwen25 {
namespace {

Result<jinja::MarkedText> RenderConversation(const jinja::Template& compiled, const Json& request,
                                             const jinja::RenderOptions& options) {
  JinjaChat chat{.messages = request["messages"], .tools = request["tools"]};
  for (const auto& [name, value] : request["arguments"].items()) {
    if (name == "documents") {
      chat.documents = value;
    } else if (name == "add_generation_prompt") {
      chat.add_generation_prompt = value.get<bool>();
    } else if (name == "continue_final_message") {
      chat.continue_final_message = value.get<bool>();
    } else {
      chat.variables[name] = value;
    }
  }
  return RenderJinjaChat(compiled, chat, options);
}

Result<std::string> Render(const std::string& line) {
  QWEN25_TRY(const Json request, ParsePythonJson(line, "request"));
  QWEN25_TRY(const jinja::Template compiled,
             jinja::Template::Parse(request["template"].get_ref<const std::string&>(), "template"));
  jinja::RenderOptions options;
  if (request.contains("now")) options.now = request["now"].get<int64_t>();
  if (request.contains("messages")) {
    QWEN25_TRY(const jinja::MarkedText text, RenderConversation(compiled, request, options));
    return text.text();
  }
  std::vector<std::pair<std::string, jinja::Value>> variables;
  for (const auto& [name, value] : request["variables"].items()) {
    variables.emplace_back(name, jinja::ValueOf(value, jinja::Mark::kSaid));
  }
  QWEN25_TRY(const jinja::MarkedText text, compiled.Render(variables, options));
  return text.text();
}

}  // namespace
}  // namespace qwen25

int main() {
  for (std::string line; std::getline(std::cin, line);) {
    const qwen25::Result<std::string> text = qwen25::Render(line);
    qwen25::Json answer;
    if (text.ok()) {
      answer["text"] = *text;
    } else {
      answer["error"] = text.status().message();
    }
    std::cout << qwen25::DumpJson(answer) << '\n';
  }
}

#include "base/check.h"
#include "targets.h"
#include "text/jinja_chat.h"

namespace qwen25 {
namespace {

// Small, so that thousands of templates can be tried per second.
jinja::RenderOptions SmallLimits() {
  return {.limits = {.steps = 50000, .text_bytes = 100000, .memory_bytes = 4 << 20, .depth = 400}, .now = 0};
}

}  // namespace

// Templates of checkpoints, run on a conversation. The bytes are the source; behind a record separator (0x1e)
// stands what the user says. A template comes back with an error that names it, or with the same text each
// time, whose marks cover it from end to end.
void FuzzJinja(std::span<const uint8_t> bytes) {
  const std::string_view all(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const size_t end = all.find('\x1e');
  const Result<jinja::Template> compiled = jinja::Template::Parse(all.substr(0, end), "template");
  if (!compiled.ok()) {
    QWEN25_CHECK(compiled.status().message().starts_with("template: line "));
    return;
  }
  const std::string said(end == std::string_view::npos ? "Hello <|im_end|>" : all.substr(end + 1));
  const Json function = {{"name", "f"}, {"arguments", {{"a", {1, 2.5, nullptr, "x"}}}}};
  const JinjaChat chat{
      .messages = {{{"role", "system"}, {"content", "Be brief."}},
                   {{"role", "user"}, {"content", said}},
                   {{"role", "assistant"}, {"content", nullptr}, {"tool_calls", {{{"function", function}}}}},
                   {{"role", "tool"}, {"content", said}}},
      .tools = {{{"type", "function"}, {"function", function}}},
      .add_generation_prompt = true,
      .special_tokens = {{"bos_token", "<s>"}, {"eos_token", "</s>"}}};
  const Result<jinja::MarkedText> text = RenderJinjaChat(*compiled, chat, SmallLimits());
  const Result<jinja::MarkedText> again = RenderJinjaChat(*compiled, chat, SmallLimits());
  QWEN25_CHECK(text.ok() == again.ok());
  if (!text.ok()) {
    QWEN25_CHECK(text.status().message().starts_with("template: line "));
    QWEN25_CHECK(text.status().message() == again.status().message());
    return;
  }
  QWEN25_CHECK(*text == *again && text->size() <= SmallLimits().limits.text_bytes);
  size_t covered = 0;
  text->ForEachRun([&](std::string_view run, jinja::Mark) { covered += run.size(); });
  QWEN25_CHECK(covered == text->size());
}

}  // namespace qwen25

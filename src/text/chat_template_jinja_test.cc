#include "text/chat_template_jinja.h"

#include <rapidcheck.h>

#include "base/file.h"
#include "base/json.h"
#include "base/test_util.h"
#include "text/qwen_chat.h"
#include "text/utf8.h"

namespace qwen25 {
namespace {

// Leaves out each character in turn. A template that is still recognised lacks white space or a mark that
// strips it; one that lacks a character of its texts is never recognised. `free` occurs once and may be any
// text.
void ExpectOnlySpellingMayChange(const std::string& source, const std::string& free = "") {
  ASSERT_OK_AND_ASSIGN(const ChatFormat format, RecogniseChatFormat(source, "t"));
  size_t accepted = 0;
  for (size_t i = 0; i < source.size(); ++i) {
    if (i - source.find(free) < free.size()) continue;
    std::string changed = source;
    changed.erase(i, 1);
    const Result<ChatFormat> result = RecogniseChatFormat(changed, "t");
    if (!result.ok()) continue;
    ++accepted;
    EXPECT_NE(std::string_view(" \n-").find(source[i]), std::string_view::npos)
        << "at " << i << ": " << source.substr(i, 20);
    EXPECT_EQ(*result, format);
  }
  EXPECT_LT(accepted, source.size() / 2);
}

// make_chat_fixtures.py renders every fixture from this file, too, and writes none if one differs.
TEST(ChatTemplateSource, IsTheFileThatTransformersRendersLikeTheOfficialOne) {
  ASSERT_OK_AND_ASSIGN(const std::string file,
                       ReadFile(SourcePath("tests/reference/fixtures/chat_template.jinja")));
  EXPECT_EQ(file, ChatTemplateSource(kInstructSystem) + "\n");
}

TEST(ChatTemplateSource, IsRecognised) {
  EXPECT_TRUE(rc::check([](const std::string& system) {
    RC_ASSERT(RecogniseChatTemplate(ChatTemplateSource(system), "test").value() == RepairUtf8(system));
  }));
  EXPECT_EQ(*RecogniseChatTemplate(ChatTemplateSource("\r\n\t\\n\"'\\"), "test"), "\r\n\t\\n\"'\\");
  ExpectOnlySpellingMayChange(ChatTemplateSource("The system."), "The system.");
}

TEST(RecogniseChatFormat, KnowsInstructAndBase) {
  QWEN25_REQUIRE_SHARED_DATA(data);
  const auto system_of = [&](const std::string& file) -> std::string {
    const Json config = *ReadJsonFile(data + "/qwen25_tokenizer/" + file);
    return RecogniseChatTemplate(config["chat_template"].get<std::string>(), "t").value();
  };
  EXPECT_EQ(system_of("tokenizer_config.json"), kInstructSystem);
  EXPECT_EQ(system_of("Qwen2.5-0.5B-base.tokenizer_config.json"), kBaseSystem);
  const Json config = *ReadJsonFile(data + "/qwen25_tokenizer/tokenizer_config.json");
  ExpectOnlySpellingMayChange(config["chat_template"].get<std::string>());
  EXPECT_EQ(RecogniseChatFormat("{{ messages }}", "t").status().code(), StatusCode::kUnsupported);
}

// The same turns, but no tools. Source: tokenizer_config.json of Qwen2-0.5B-Instruct.
TEST(RecogniseChatFormat, KnowsTheTemplateOfQwen2) {
  const std::string jinja =
      "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
      "{{ '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + "
      "message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
      "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
  ASSERT_OK_AND_ASSIGN(const ChatFormat format, RecogniseChatFormat(jinja, "t"));
  EXPECT_EQ(format, (ChatFormat{.default_system = std::string(kBaseSystem), .knows_tools = false}));
  for (size_t i = 0; i < jinja.size(); ++i) {
    std::string changed = jinja;
    changed.erase(i, 1);
    const Result<ChatFormat> other = RecogniseChatFormat(changed, "t");
    if (other.ok() && changed.find(kBaseSystem) != std::string::npos) {
      EXPECT_EQ(jinja[i], ' ') << jinja.substr(i, 20);
    }
  }
  // Without its default text it is another template.
  EXPECT_ERROR_CONTAINS(
      RecogniseChatFormat("{% for message in messages %}{{'<|im_start|>' + message['role'] + "
                          "'\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}",
                          "t"),
      "is not Qwen2.5's or Qwen2's");
}

TEST(RecogniseChatFormat, SpellingDoesNotMatter) {
  QWEN25_REQUIRE_SHARED_DATA(data);
  ASSERT_OK_AND_ASSIGN(const Json config, ReadJsonFile(data + "/qwen25_tokenizer/tokenizer_config.json"));
  const std::string jinja = config["chat_template"];
  const auto replaced = [](std::string text, std::string_view from, std::string_view to) {
    for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) {
      text.replace(at, from.size(), to);
    }
    return text;
  };
  const ChatFormat format{.default_system = std::string(kInstructSystem)};
  for (const std::string& variant : {
           replaced(jinja, "\n", "\r\n"),
           replaced(jinja, "\n", "\r"),
           "\xEF\xBB\xBF" + jinja,
           jinja + "\n",
           replaced(jinja, "\n    ", "\n\t"),
           replaced(jinja, "['role']", ".role"),
           replaced(jinja, "message.role", "message['role']"),
           replaced(jinja, " }}\n", " -}}\n"),
           replaced(replaced(jinja, "\n    ", "\n"), "    ", ""),
           "{#- Fixed by somebody #}\n" + jinja,
       }) {
    ASSERT_OK_AND_ASSIGN(const ChatFormat found, RecogniseChatFormat(variant, "t"));
    EXPECT_EQ(found, format);
  }
  const std::string call = R"({\"name\": <function-name>, \"arguments\": <args-json-object>})";
  ASSERT_NE(jinja.find(call), std::string::npos);
  ASSERT_OK_AND_ASSIGN(const ChatFormat first_release,
                       RecogniseChatFormat(replaced(jinja, call, "{" + call + "}"), "t"));
  EXPECT_EQ(first_release,
            (ChatFormat{.default_system = std::string(kInstructSystem), .doubled_braces = true}));
  const std::string prompt = RenderQwenChat({}, {.tools = {{{"a", 1}}}, .doubled_braces = true});
  EXPECT_NE(
      prompt.find(
          "<tool_call>\n{{\"name\": <function-name>, \"arguments\": <args-json-object>}}\n</tool_call>"),
      std::string::npos);
}

}  // namespace
}  // namespace qwen25

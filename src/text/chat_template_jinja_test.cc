#include "text/chat_template_jinja.h"

#include <rapidcheck.h>

#include "base/file.h"
#include "base/json.h"
#include "base/test_util.h"
#include "text/chat_template.h"

namespace qwen25 {
namespace {

// make_chat_fixtures.py renders every fixture from this file too and refuses to write them where it differs.
TEST(ChatTemplateSource, IsTheFileThatTransformersRendersLikeTheOfficialOne) {
  ASSERT_OK_AND_ASSIGN(const std::string file,
                       ReadFile(QWEN25_SOURCE_DIR "/tests/reference/fixtures/chat_template.jinja"));
  EXPECT_EQ(file, ChatTemplateSource(kInstructSystem) + "\n");
}

TEST(ChatTemplateSource, IsRecognised) {
  EXPECT_TRUE(rc::check([](const std::string& system) {
    RC_ASSERT(RecogniseChatTemplate(ChatTemplateSource(system), "test").value() == system);
  }));
  EXPECT_EQ(*RecogniseChatTemplate(ChatTemplateSource("\r\n\t\\n\"'\\"), "test"), "\r\n\t\\n\"'\\");
  const std::string source = ChatTemplateSource("s");
  for (size_t i = 0; i < source.size(); ++i) {
    if (i == source.find("\"s\"") + 1) continue;  // without it the default system text is empty, which may be
    std::string changed = source;
    changed.erase(i, 1);
    EXPECT_FALSE(RecogniseChatTemplate(changed, "test").ok()) << "at " << i;
  }
}

TEST(ReadChatTemplate, RecognisesInstructAndBase) {
  QWEN25_REQUIRE_SHARED_DATA(data);
  ASSERT_OK_AND_ASSIGN(const std::string instruct, ReadChatTemplate(data + "/qwen25_tokenizer"));
  EXPECT_EQ(instruct, kInstructSystem);
  ASSERT_OK_AND_ASSIGN(const Json base,
                       ReadJsonFile(data + "/qwen25_tokenizer/Qwen2.5-0.5B-base.tokenizer_config.json"));
  ASSERT_OK_AND_ASSIGN(const std::string base_system,
                       RecogniseChatTemplate(base["chat_template"].get<std::string>(), "b"));
  EXPECT_EQ(base_system, kBaseSystem);
}

TEST(ReadChatTemplate, ReadsEveryPlaceWhereATemplateMayStand) {
  QWEN25_REQUIRE_SHARED_DATA(data);
  ASSERT_OK_AND_ASSIGN(const Json config, ReadJsonFile(data + "/qwen25_tokenizer/tokenizer_config.json"));
  std::string jinja = config["chat_template"];
  // A fine-tuned model's own default system text, with quotes escaped as Jinja does.
  const std::string own = R"(It\'s \\boxed{}.\nSecond "line".)";
  for (size_t at; (at = jinja.find(kInstructSystem)) != std::string::npos;) {
    jinja.replace(at, kInstructSystem.size(), own);
  }
  const TemporaryDirectory folder;
  ASSERT_OK(WriteFileAtomically(folder / "tokenizer_config.json", R"({"model_max_length": 1})"));
  EXPECT_ERROR_CONTAINS(ReadChatTemplate(folder.path()), "no default \"chat_template\"");

  const Json named = {
      {"chat_template", {{{"name", "rag"}, {"template", "x"}}, {{"name", "default"}, {"template", jinja}}}}};
  ASSERT_OK(WriteFileAtomically(folder / "tokenizer_config.json", named.dump()));
  ASSERT_OK_AND_ASSIGN(const std::string system, ReadChatTemplate(folder.path()));
  EXPECT_EQ(system, "It's \\boxed{}.\nSecond \"line\".");

  ASSERT_OK(
      WriteFileAtomically(folder / "chat_template.jinja", config["chat_template"].get<std::string>() + "\n"));
  ASSERT_OK_AND_ASSIGN(const std::string from_file, ReadChatTemplate(folder.path()));
  EXPECT_EQ(from_file, kInstructSystem);
}

TEST(ReadChatTemplate, RefusesOtherTemplates) {
  const TemporaryDirectory folder;
  EXPECT_ERROR_CONTAINS(ReadChatTemplate(folder.path()), "tokenizer_config.json");
  ASSERT_OK(WriteFileAtomically(folder / "tokenizer_config.json", R"({"chat_template": 5})"));
  EXPECT_ERROR_CONTAINS(ReadChatTemplate(folder.path()), "\"chat_template\" is 5, expected a string");
  ASSERT_OK(WriteFileAtomically(folder / "tokenizer_config.json", R"({"chat_template": "{{ messages }}"})"));
  const Result<std::string> other = ReadChatTemplate(folder.path());
  EXPECT_EQ(other.status().code(), StatusCode::kUnsupported);
  EXPECT_ERROR_CONTAINS(other, "the chat template (14 bytes) is not Qwen2.5's");

  QWEN25_REQUIRE_SHARED_DATA(data);
  ASSERT_OK_AND_ASSIGN(const Json config, ReadJsonFile(data + "/qwen25_tokenizer/tokenizer_config.json"));
  const std::string jinja = config["chat_template"];
  // One character left out, anywhere but in the newline at the end, which a file may lack.
  for (size_t i = 0; i + 1 < jinja.size(); ++i) {
    std::string changed = jinja;
    changed.erase(i, 1);
    const Result<std::string> result = RecogniseChatTemplate(changed, "t");
    EXPECT_FALSE(result.ok()) << "at " << i << ": " << jinja.substr(i, 20);
  }
}

}  // namespace
}  // namespace qwen25

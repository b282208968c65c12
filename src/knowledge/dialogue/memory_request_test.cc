#include "knowledge/dialogue/memory_request.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

namespace qwen25 {
namespace {

using Kind = MemoryRequest::Kind;

void ExpectRemember(std::string_view line, std::string_view text) {
  EXPECT_EQ(ParseMemoryRequest(line), (MemoryRequest{Kind::kRemember, std::string(text)})) << line;
}
void ExpectForget(std::string_view line, std::string_view text) {
  EXPECT_EQ(ParseMemoryRequest(line), (MemoryRequest{Kind::kForget, std::string(text)})) << line;
}
void ExpectNone(std::string_view line) {
  const MemoryRequest request = ParseMemoryRequest(line);
  EXPECT_EQ(request.kind, Kind::kNone) << line << " -> " << request.text;
}

TEST(MemoryRequest, EnglishPhrases) {
  ExpectRemember("Remember that my cat is called Mimi.", "my cat is called Mimi.");
  ExpectRemember("  please, REMEMBER  that tea is at 4", "tea is at 4");
  ExpectRemember("Please remember: the code is 4711", "the code is 4711");
  ExpectRemember("remember this : buy milk ", "buy milk");
  ExpectRemember("Don’t forget that Tom is coming.", "Tom is coming.");
  ExpectRemember("remember that \"blue\" is the password", "\"blue\" is the password");
  ExpectForget("Forget that my cat is called Mimi", "my cat is called Mimi");
  ExpectForget("please forget what I said about the garage.", "the garage.");
  ExpectForget("Forget: garage code", "garage code");
}

TEST(MemoryRequest, OtherLanguages) {
  ExpectRemember("Merk dir, dass die Katze Mimi heißt.", "die Katze Mimi heißt.");
  ExpectRemember("Bitte merke dir dass ich Tee mag", "ich Tee mag");
  ExpectRemember("Souviens-toi qu’il pleut à Brest.", "il pleut à Brest.");
  ExpectRemember("Por favor, recuerda que vivo en Lima", "vivo en Lima");
  ExpectRemember("Ricordati che il treno parte alle 9", "il treno parte alle 9");
  ExpectRemember("Não se esqueça de que amanhã é feriado", "amanhã é feriado");
  ExpectRemember("Onthoud dat de sleutel onder de mat ligt", "de sleutel onder de mat ligt");
  ExpectRemember("ZAPAMIĘTAJ, że kod to 12", "kod to 12");
  ExpectRemember("Пожалуйста, запомни, что встреча в полдень", "встреча в полдень");
  ExpectRemember("请记住我的猫叫咪咪。", "我的猫叫咪咪。");
  ExpectRemember("記住：會議在三點", "會議在三點");
  ExpectRemember("覚えておいて：猫の名前はミミです", "猫の名前はミミです");
  ExpectForget("Vergiss, dass ich Tee mag", "ich Tee mag");
  ExpectForget("Забудь, что встреча в полдень", "встреча в полдень");
  ExpectForget("忘掉我的密码", "我的密码");
}

TEST(MemoryRequest, OrdinaryLinesStayOrdinary) {
  for (const char* line : {"",
                           "   ",
                           "remember",
                           "Remember that",
                           "remember that.",
                           "Forget that!",
                           "forget that, let us go on",
                           "Remember that time in Paris?",
                           "Do you remember that I like tea?",
                           "I remember that day well",
                           "remember thatched roofs burn",
                           "Please explain how memory works",
                           "remember me",
                           "Forget it.",
                           "She said: remember that I love you",
                           "What should I remember that others forget?",
                           "please",
                           "Vergiss es.",
                           "记住了吗？",
                           "\xff\xfe remember that",
                           "remember \xff that x"}) {
    ExpectNone(line);
  }
}

TEST(MemoryRequest, QuestionsBehindAStatementAreNotKept) {
  ExpectRemember("Remember that Mimi is a cat. She is old. What does she eat?", "Mimi is a cat. She is old.");
  ExpectRemember("记住我的猫叫咪咪。它吃什么？", "我的猫叫咪咪。");
  ExpectNone("Remember that Mimi is a cat?");
}

TEST(MemoryRequest, AnyBytesAreReadWithoutHarm) {
  EXPECT_TRUE(rc::check([](const std::string& tail) {
    const MemoryRequest request = ParseMemoryRequest("remember that " + tail);
    RC_ASSERT(request.kind != Kind::kForget);
    RC_ASSERT(request.text.empty() == (request.kind == Kind::kNone));
    RC_ASSERT(tail.find(request.text) != std::string::npos);
  }));
}

}  // namespace
}  // namespace qwen25

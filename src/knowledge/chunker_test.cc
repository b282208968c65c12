#include "knowledge/chunker.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "text/utf8.h"

namespace qwen25 {
namespace {

TEST(Chunker, ShortTextsStayWhole) {
  EXPECT_TRUE(ChunkText("").empty());
  EXPECT_EQ(ChunkText("One sentence."), (std::vector<TextRange>{{0, 13}}));
}

TEST(Chunker, CutsAtParagraphsAndRepeatsSentences) {
  const std::string first(60, 'a'), second(60, 'b');
  const std::string text = first + ".\n\n" + second + ".";
  EXPECT_EQ(ChunkText(text, {.max_tokens = 20, .overlap_tokens = 4}),
            (std::vector<TextRange>{{0, 63}, {63, 124}}));
  const std::string sentences = "Ada wrote a long one here. Bob ran. Cid wrote another one.";
  const std::vector<TextRange> chunks = ChunkText(sentences, {.max_tokens = 10, .overlap_tokens = 3});
  ASSERT_EQ(chunks.size(), 2u);
  EXPECT_EQ(sentences.substr(chunks[0].begin, chunks[0].end), "Ada wrote a long one here. Bob ran. ");
  EXPECT_EQ(sentences.substr(chunks[1].begin), "Bob ran. Cid wrote another one.");
}

TEST(Chunker, PiecesCoverTheTextAndFit) {
  EXPECT_TRUE(rc::check([](const std::vector<uint8_t>& choices) {
    const std::vector<std::string> parts = {"word ", "another ", ". Next ", "\n\n", "東京。",
                                            "แมว",   "é",        "\xff",    "\n",   "longlonglonglong",
                                            "! ",    "🙂"};
    std::string text;
    for (const uint8_t choice : choices) text += parts[choice % parts.size()];
    for (const uint8_t choice : choices) text += parts[choice / 16 % parts.size()];
    const ChunkOptions options = {.max_tokens = *rc::gen::inRange<size_t>(4, 40),
                                  .overlap_tokens = *rc::gen::inRange<size_t>(0, 20)};
    const std::vector<TextRange> chunks = ChunkText(text, options);
    size_t covered = 0, begin = 0;
    for (const TextRange& chunk : chunks) {
      RC_ASSERT(chunk.begin <= covered && chunk.end > covered);
      RC_ASSERT(covered == 0 || chunk.begin > begin);
      begin = chunk.begin;
      covered = chunk.end;
      RC_ASSERT(EstimateTokens(std::string_view(text).substr(chunk.begin, chunk.end - chunk.begin)) <=
                options.max_tokens);
    }
    RC_ASSERT(covered == text.size());
    if (IsValidUtf8(text)) {
      for (const TextRange& chunk : chunks)
        RC_ASSERT(IsValidUtf8(text.substr(chunk.begin, chunk.end - chunk.begin)));
    }
  }));
}

}  // namespace
}  // namespace qwen25

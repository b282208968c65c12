#include "infer/answer.h"

#include <rapidcheck.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/test_util.h"
#include "infer/tiny_model_test_util.h"

namespace qwen25 {
namespace {

// Pieces joined must give the text up to the first stop text, however the text was cut.
TEST(StopMatcherTest, AnyCutGivesTheTextUpToTheFirstStop) {
  EXPECT_TRUE(rc::check("cuts do not matter", [] {
    const auto letters = rc::gen::container<std::string>(rc::gen::elementOf(std::string("abc")));
    const auto text = *letters;
    const auto stops = *rc::gen::container<std::vector<std::string>>(rc::gen::nonEmpty(letters));
    // The definition, letter by letter: the shortest prefix of the text that ends in a stop text, without the
    // longest stop text at its end.
    size_t expected = std::string::npos;
    std::string found;
    for (size_t end = 0; end <= text.size() && expected == std::string::npos; ++end) {
      for (const auto& stop : stops) {
        if (text.substr(0, end).ends_with(stop) && stop.size() > found.size()) found = stop;
      }
      if (!found.empty()) expected = end - found.size();
    }

    StopMatcher matcher(stops);
    std::string out;
    bool stopped = false;
    for (size_t i = 0; i < text.size() && !stopped;) {
      const size_t count = *rc::gen::inRange<size_t>(1, 4);
      stopped = matcher.Feed(std::string_view(text).substr(i, count), out);
      i += count;
    }
    if (!stopped) out += matcher.Finish();
    RC_ASSERT(stopped == (expected != std::string::npos));
    RC_ASSERT(out == text.substr(0, expected));
    RC_ASSERT(matcher.found() == found);
  }));
}

std::vector<int32_t> Letters(std::string_view text) {
  return {text.begin(), text.end()};
}

TEST(AnswerTest, TokensAfterItsEndAreNotPartOfIt) {
  const Tokenizer tokenizer = ByteTokenizer();
  AnswerOptions options = {.max_new_tokens = 8, .stop = {"st"}, .stop_tokens = {'!'}};
  const auto run = [&](std::string_view letters, size_t expected, FinishReason reason,
                       std::string_view text) {
    Answer answer(tokenizer, options);
    EXPECT_EQ(answer.Add(Letters(letters)), expected) << letters;
    ASSERT_TRUE(answer.ended()) << letters;
    EXPECT_EQ(answer.num_wanted(), 0u);
    EXPECT_EQ(answer.finish_reason(), reason) << letters;
    EXPECT_EQ(answer.text(), text);
    EXPECT_EQ(answer.tokens().size(), expected);
    EXPECT_EQ(answer.stop_text(), reason == FinishReason::kStopText ? "st" : "");
  };
  run("abc!def", 4, FinishReason::kStopToken, "abc");
  run("abstain", 4, FinishReason::kStopText, "ab");
  run("abcdefghij", 8, FinishReason::kLength, "abcdefgh");
  run("abcdefgs", 8, FinishReason::kLength, "abcdefgs");  // the text held back was not a stop text
  options.max_new_tokens = 0;
  run("abc", 0, FinishReason::kLength, "");
  options.stop = {"a", ""};
  EXPECT_ERROR_CONTAINS(options.Validate(), "stop text is empty");
}

TEST(AnswerTest, WhoeverReadsOrDrawsMayEndIt) {
  const Tokenizer tokenizer = ByteTokenizer();
  const AnswerOptions options = {.stop = {"st"}};
  std::string shown;
  Answer read(tokenizer, options, [&](std::string_view piece) {
    shown += piece;
    return shown.size() < 3;
  });
  EXPECT_EQ(read.Add(Letters("abcdef")), 3u);
  EXPECT_EQ(read.finish_reason(), FinishReason::kCancelled);
  EXPECT_EQ(shown, "abc");
  Answer failed(tokenizer, options);
  EXPECT_EQ(failed.Add(Letters("abs")), 3u);
  failed.End(FinishReason::kError, ResourceExhausted("the disk is full"));
  EXPECT_EQ(failed.text(), "abs");
  EXPECT_ERROR_CONTAINS(failed.error(), "the disk is full");
  EXPECT_EQ(FinishReasonName(failed.finish_reason()), "error");
}

}  // namespace
}  // namespace qwen25

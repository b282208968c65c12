#include "serve/api/infill_request.h"

#include <gtest/gtest.h>

#include <string>

#include "serve/api/request_test_util.h"

namespace qwen25 {
namespace {

TEST(InfillRequestTest, EveryMemberArrives) {
  const auto request = ReadRequest(
      R"({"input_prefix": "int f(", "prompt": "int a", "input_suffix": ") {}", "n_predict": 5,
          "input_extra": [{"filename": "a.h", "text": "int b;", "time": 5}, {"text": ""}],
          "temperature": 0.5, "top_k": 40, "top_p": 0.9, "min_p": 0.1, "repeat_penalty": 1.25, "seed": 3,
          "stop": ["\n"], "stream": true, "ignore_eos": true, "cache_prompt": true,
          "samplers": ["top_k", "infill"], "t_max_predict_ms": 1000, "n_indent": 2, "id_slot": 0,
          "response_fields": ["content"]})",
      &ReadInfillRequest);
  EXPECT_EQ(request.prefix, "int f(int a");
  EXPECT_EQ(request.suffix, ") {}");
  EXPECT_EQ(request.max_tokens, 5);
  ASSERT_EQ(request.context.size(), 2u);
  EXPECT_EQ(request.context[0].file_name, "a.h");
  EXPECT_EQ(request.context[0].text, "int b;");
  EXPECT_EQ(request.sampling.temperature, 0.5);
  EXPECT_EQ(request.sampling.repetition_penalty, 1.25);
  EXPECT_EQ(request.sampling.seed, 3);
  EXPECT_EQ(request.sampling.stop, std::vector<std::string>{"\n"});
  EXPECT_TRUE(request.stream && request.sampling.ignore_eos);
  EXPECT_EQ(request.ignored.size(), 6u);
}

TEST(InfillRequestTest, MinusOneIsNoLimitAndNoSeed) {
  const auto request = ReadRequest(R"({"input_prefix": "", "input_suffix": "", "n_predict": -1, "seed": -1})",
                                   &ReadInfillRequest);
  EXPECT_FALSE(request.max_tokens || request.sampling.seed);
}

TEST(InfillRequestTest, Malformed) {
  const auto with = [](const std::string& members) {
    return R"({"input_prefix": "a", "input_suffix": "b", )" + members + "}";
  };
  const RefusedCase cases[] = {
      {R"({"input_suffix": "b"})", "input_prefix", "is missing"},
      {R"({"input_prefix": "a"})", "input_suffix", "is missing"},
      {R"({"input_prefix": 5, "input_suffix": "b"})", "input_prefix", "is 5"},
      {with(R"("prompt": ["x"])"), "prompt", "expected a string"},
      {with(R"("input_extra": {})"), "input_extra", "an array"},
      {with(R"("input_extra": [{"filename": "x"}])"), "input_extra[0].text", "is missing"},
      {with(R"("input_extra": [{"text": "x", "size": 1}])"), "input_extra[0].size", "is not a field"},
      {with(R"("n_predict": -2)"), "n_predict", "is -2"},
      {with(R"("temperature": 9)"), "temperature", "from 0 to 2"},
      {with(R"("repeat_penalty": 0)"), "repeat_penalty", "above 0"},
      {with(R"("samplers": "top_k")"), "samplers", "expected an array"},
      {with(R"("mirostat": 1)"), "mirostat", "is not a field"},
  };
  for (const RefusedCase& c : cases) ExpectRefused(c, &ReadInfillRequest);
}

}  // namespace
}  // namespace qwen25

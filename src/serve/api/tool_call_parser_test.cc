#include "serve/api/tool_call_parser.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/test_util.h"
#include "serve/api/request_json.h"
#include "text/qwen_chat.h"
#include "text/utf8.h"

namespace qwen25 {
namespace {

using Options = ToolCallParser::Options;

// Numbers for ids, so that results can be compared.
Options Numbered(Options options = {}) {
  options.make_id = [number = 0]() mutable { return "call_" + std::to_string(number++); };
  return options;
}
Options Coder(bool stream_arguments = true) {
  return {.stream_arguments = stream_arguments, .bare_json = true, .tool_names = {"get_time", "search"}};
}

AssistantMessage Parse(std::string_view text, Options options = {}) {
  ToolCallParser parser(Numbered(std::move(options)));
  AssistantMessage message;
  AppendPieces(parser.Feed(text), message);
  AppendPieces(parser.Finish(), message);
  EXPECT_EQ(parser.num_calls(), message.tool_calls.size());
  return message;
}

AssistantMessage Calls(std::string content, std::vector<std::pair<std::string, std::string>> calls) {
  AssistantMessage message = {.content = std::move(content)};
  for (auto& [name, arguments] : calls) {
    const std::string id = "call_" + std::to_string(message.tool_calls.size());
    message.tool_calls.push_back({.id = id, .name = name, .arguments = arguments});
  }
  return message;
}

std::string Shown(const AssistantMessage& message) {
  std::string text = "content: [" + message.content + "]";
  for (const FunctionCall& call : message.tool_calls) {
    text += "\n" + call.id + " " + call.name + " [" + call.arguments + "]";
  }
  return text;
}
#define EXPECT_MESSAGE(actual, expected) EXPECT_EQ(Shown(actual), Shown(expected))

// With streamed arguments and without, the same.
void ExpectBoth(std::string_view text, const AssistantMessage& expected, Options options = {}) {
  for (const bool stream : {true, false}) {
    options.stream_arguments = stream;
    EXPECT_EQ(Shown(Parse(text, options)), Shown(expected)) << "stream_arguments " << stream;
  }
}

TEST(ToolCallParserTest, OneCall) {
  ExpectBoth("<tool_call>\n{\"name\": \"get_time\", \"arguments\": {\"city\": \"Bern\"}}\n</tool_call>",
             Calls("", {{"get_time", "{\"city\": \"Bern\"}"}}));
}

TEST(ToolCallParserTest, TextAndSeveralCalls) {
  const std::string text =
      "Let me look.\n<tool_call>\n{\"name\": \"a\", \"arguments\": {}}\n</tool_call>\n"
      "<tool_call>\n{\"name\": \"b\", \"arguments\": {\"x\":[1, 2]}}\n</tool_call>\nand then\n\n"
      "<tool_call>{\"name\":\"c\",\"arguments\":{}}</tool_call>\n";
  ExpectBoth(text, Calls("Let me look.\nand then\n", {{"a", "{}"}, {"b", "{\"x\":[1, 2]}"}, {"c", "{}"}}));
}

// A chat template prints "\n" before each call: content and calls make the same text again.
TEST(ToolCallParserTest, OneNewlineBeforeACallIsTheTemplates) {
  const std::string call = "\n<tool_call>\n{\"name\": \"a\", \"arguments\": {}}\n</tool_call>";
  for (const char* content : {"Text", "Text\n", "", "  ", "\n"}) {
    ExpectBoth(content + call, Calls(content, {{"a", "{}"}}));
  }
}

TEST(ToolCallParserTest, TextWithoutCallsIsKept) {
  for (const char* text :
       {"", "\n", "plain", "a < b\n", "<", "<tool", "\n<tool_cal", "<tool_call", "</tool_call>",
        "{\"name\": \"get_time\"}", "```json\n{\"name\": \"get_time\"}\n```", "<|python_tag"}) {
    ExpectBoth(text, Calls(text, {}));
  }
}

// The faults that users of other servers reported, by their numbers.
TEST(ToolCallParserTest, OuterBraceIsNeitherLostNorLeaked) {  // vLLM #22885, #19056
  ExpectBoth("<tool_call>{\"name\":\"f\",\"arguments\":{\"a\":{\"b\":{}}}}</tool_call>",
             Calls("", {{"f", "{\"a\":{\"b\":{}}}"}}));
  ExpectBoth("<tool_call>{\"arguments\":{\"a\":{}},\"name\":\"f\"}</tool_call>",
             Calls("", {{"f", "{\"a\":{}}"}}));
}

TEST(ToolCallParserTest, ArgumentsAreNotTruncated) {  // vLLM #20678
  const std::string arguments =
      "{\"code\": \"" + std::string(100'000, 'x') + "\", \"n\": 12345678901234567890123}";
  ExpectBoth("<tool_call>\n{\"name\": \"f\", \"arguments\": " + arguments + "}\n</tool_call>",
             Calls("", {{"f", arguments}}));
}

TEST(ToolCallParserTest, NoArgumentsAreAnEmptyObject) {  // vLLM #28806
  for (const char* members :
       {"", ", \"arguments\": {}", ", \"arguments\": null", ", \"arguments\": \"\"",
        ", \"parameters\": \" \"", ", \"arguments\": \"null\"", ", \"type\": \"function\""}) {
    ExpectBoth("<tool_call>{\"name\": \"f\"" + std::string(members) + "}</tool_call>",
               Calls("", {{"f", "{}"}}));
  }
}

TEST(ToolCallParserTest, EndTagInsideOfAStringEndsNothing) {  // vLLM #45167, PR 48353
  const std::string arguments = "{\"text\": \"write </tool_call> and <tool_call>\\n\"}";
  ExpectBoth("<tool_call>{\"name\": \"f\", \"arguments\": " + arguments + "}</tool_call> done",
             Calls(" done", {{"f", arguments}}));
}

TEST(ToolCallParserTest, PiecesAreNeverCompletedAndTakenBack) {  // vLLM PR 10398
  ToolCallParser parser(Numbered());
  EXPECT_TRUE(parser.Feed("<tool_call>{\"name\": \"f\", \"arguments\":").empty());
  const auto begun = parser.Feed(" {\"a\": tr");
  ASSERT_EQ(begun.size(), 2u);
  EXPECT_EQ(*begun[0].call, (ToolCallDelta{.index = 0, .id = "call_0", .name = "f"}));
  EXPECT_EQ(*begun[1].call, (ToolCallDelta{.index = 0, .arguments = "{\"a\": tr"}));
  const auto more = parser.Feed("ue, \"b");
  ASSERT_EQ(more.size(), 1u);
  EXPECT_EQ(*more[0].call, (ToolCallDelta{.index = 0, .arguments = "ue, \"b"}));
  EXPECT_EQ(parser.Feed("\": 1}}").at(0).call->arguments, "\": 1}");
  EXPECT_TRUE(parser.Feed("</tool_call>").empty());
  EXPECT_TRUE(parser.Finish().empty());
  EXPECT_FALSE(parser.found_malformed());
}

TEST(ToolCallParserTest, BracesInStrings) {  // vLLM #21544
  const std::string arguments = R"({"command": "echo ${HOME} }} \"{\" \\", "x": "}"})";
  ExpectBoth("<tool_call>{\"name\": \"sh\", \"arguments\": " + arguments + "}</tool_call>",
             Calls("", {{"sh", arguments}}));
}

TEST(ToolCallParserTest, BareJsonOfAKnownTool) {  // Qwen2.5-Coder
  const std::string call = "{\"name\": \"search\", \"arguments\": {\"q\": \"a\"}}";
  const auto searched = [](const char* content) { return Calls(content, {{"search", "{\"q\": \"a\"}"}}); };
  for (const std::string& text :
       {call, "\n" + call + "\n", "```json\n" + call + "\n```", "```\n" + call + "\n```\n",
        "```json\n" + call, "```json \n  " + call + "```"}) {
    ExpectBoth(text, searched(""), Coder());
    ExpectBoth(text, Calls(text, {}));  // not without being told
  }
  ExpectBoth("I will search:\n```json\n" + call + "\n```\nThen I will answer.",
             searched("I will search:\nThen I will answer."), Coder());
  ExpectBoth(call + "\n" + call, Calls("", {{"search", "{\"q\": \"a\"}"}, {"search", "{\"q\": \"a\"}"}}),
             Coder());
  for (const char* text :
       {"{\"name\": \"remove_all\", \"arguments\": {}}", "{\"arguments\": {}, \"name\": \"remove_all\"}",
        "{\"title\": \"search\"}", "{\"name\": \"remove_all\"",
        "so {\"name\": \"search\", \"arguments\": {}}", "```json\n{\"a\": 1}\n```", "```python\nprint()\n```",
        "```\nsearch\n```", "{", "```"}) {
    ExpectBoth(text, Calls(text, {}), Coder());
  }
}

TEST(ToolCallParserTest, MissingEndTag) {
  const std::string call = "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}";
  const AssistantMessage expected = Calls("", {{"f", "{\"a\": 1}"}});
  for (const char* end : {"", "\n", "\n<", "\n</tool_call", "\n</tool_call>"})
    ExpectBoth(call + end, expected);
  ExpectBoth(call + call, Calls("", {{"f", "{\"a\": 1}"}, {"f", "{\"a\": 1}"}}));
  ExpectBoth(call + "\nText", Calls("\nText", {{"f", "{\"a\": 1}"}}));
}

TEST(ToolCallParserTest, MissingBraceAfterCompleteArguments) {
  const std::string call = "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}";
  ExpectBoth(call, Calls("", {{"f", "{\"a\": 1}"}}));
  ExpectBoth(call + "\n</tool_call> ok", Calls(" ok", {{"f", "{\"a\": 1}"}}));
}

TEST(ToolCallParserTest, ArgumentsInAString) {
  ExpectBoth(R"(<tool_call>{"name": "f", "arguments": "{\"a\": \"\u00e9\\n\"}"}</tool_call>)",
             Calls("", {{"f", "{\"a\": \"\xC3\xA9\\n\"}"}}));
  const std::string no_object = R"(<tool_call>{"name": "f", "arguments": "Bern"}</tool_call>)";
  ExpectBoth(no_object, Calls(no_object, {}));
}

TEST(ToolCallParserTest, MalformedCallsAreText) {
  for (const char* text :
       {"<tool_call>no JSON</tool_call>", "<tool_call>\n</tool_call>", "<tool_call>[1]</tool_call>",
        "<tool_call>{\"name\": 5, \"arguments\": {}}</tool_call>", "<tool_call>{}</tool_call>",
        "<tool_call>{\"name\": \"\", \"arguments\": {}}</tool_call>",
        "<tool_call>{\"arguments\": {}, \"name\": \"\"}</tool_call>",
        "<tool_call>{\"name\": \"f\", \"arguments\": [1]}</tool_call>",
        "<tool_call>{\"name\": \"f\", \"name\": \"g\"}</tool_call>",
        "<tool_call>{\"name\": \"f\" \"arguments\": {}}</tool_call>",
        "<tool_call>{\"name\": \"\\ud800\", \"arguments\": {}}</tool_call>", "<tool_call>{\"name\": \"f\"",
        "<tool_call>{\"arguments\": {}}</tool_call>", "<tool_call>{\"arguments\": {}",
        "text\n\n<tool_call>\n{'name': 'f'}\n</tool_call>\n"}) {
    ExpectBoth(text, Calls(text, {}));
  }
  const std::string deep = "<tool_call>{\"name\": \"f\", \"x\": " + std::string(100, '[');
  ExpectBoth(deep, Calls(deep, {}));
  const std::string nested = std::string(64, '[') + std::string(64, ']');
  const std::string too_deep = "<tool_call>{\"name\": \"f\", \"x\": " + nested + "}</tool_call>";
  ExpectBoth(too_deep, Calls(too_deep, {}));
  // One that follows is found all the same.
  ExpectBoth("<tool_call>\n<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>",
             Calls("<tool_call>\n", {{"f", "{}"}}));
}

TEST(ToolCallParserTest, SecondArgumentsAreNotTheCalls) {
  ExpectBoth("<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": 1}, \"parameters\": {}}</tool_call>",
             Calls("{}}</tool_call>", {{"f", "{\"a\": 1}"}}));
}

TEST(ToolCallParserTest, CallThatBreaksWithinItsArguments) {
  const std::string text = "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": oops}}</tool_call>";
  EXPECT_MESSAGE(Parse(text, {.stream_arguments = false}), Calls(text, {}));
  EXPECT_MESSAGE(Parse(text), Calls("oops}}</tool_call>", {{"f", "{\"a\": "}}));
  const std::string cut = "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": \"b";
  EXPECT_MESSAGE(Parse(cut, {.stream_arguments = false}), Calls(cut, {}));
  EXPECT_MESSAGE(Parse(cut), Calls("", {{"f", "{\"a\": \"b"}}));
  ToolCallParser parser(Numbered());
  (void)parser.Feed(cut);
  (void)parser.Finish();
  EXPECT_TRUE(parser.found_malformed());
}

TEST(ToolCallParserTest, Llama) {
  ExpectBoth("<|python_tag|>{\"name\": \"f\", \"parameters\": {\"a\": 1}}", Calls("", {{"f", "{\"a\": 1}"}}));
  const std::string code = "<|python_tag|>print(1)";
  ExpectBoth(code, Calls(code, {}));
}

TEST(ToolCallParserTest, HoldsBackNoMoreThanWhatMayBeginACall) {
  ToolCallParser parser(Numbered());
  const auto content = [&](std::string_view text) {
    std::string out;
    for (const AnswerPiece& piece : parser.Feed(text)) out += piece.content;
    return out;
  };
  EXPECT_EQ(content("a"), "a");
  EXPECT_EQ(content("b\n"), "b");
  EXPECT_EQ(content("c"), "\nc");
  EXPECT_EQ(content(" <"), " ");
  EXPECT_EQ(content("tool"), "");
  EXPECT_EQ(content("s>"), "<tools>");
  EXPECT_EQ(content("{"), "{");
  EXPECT_EQ(content("\n<tool_call"), "");
  EXPECT_EQ(content(">x"), "\n<tool_call>x");
}

TEST(ToolCallParserTest, IdsAreDifferent) {
  ToolCallParser parser({});
  const auto pieces =
      parser.Feed("<tool_call>{\"name\":\"f\"}</tool_call><tool_call>{\"name\":\"f\"}</tool_call>");
  ASSERT_EQ(pieces.size(), 4u);
  EXPECT_EQ(pieces[0].call->id.size(), std::string("call_").size() + 24);
  EXPECT_TRUE(pieces[0].call->id.starts_with("call_"));
  EXPECT_NE(pieces[0].call->id, pieces[2].call->id);
}

// Pieces with neighbours of one kind joined.
std::vector<AnswerPiece> Joined(const std::vector<AnswerPiece>& pieces) {
  std::vector<AnswerPiece> joined;
  for (const AnswerPiece& piece : pieces) {
    AnswerPiece* last = joined.empty() ? nullptr : &joined.back();
    const bool is_first_of_call = piece.call.has_value() && !piece.call->id.empty();
    if (last == nullptr || is_first_of_call || last->call.has_value() != piece.call.has_value()) {
      joined.push_back(piece);
    } else if (piece.call.has_value()) {
      last->call->arguments += piece.call->arguments;
    } else {
      last->content += piece.content;
    }
  }
  return joined;
}

std::string ArbitraryAnswer() {
  const std::vector<std::string> fragments = {
      "<tool_call>",
      "</tool_call>",
      "\n",
      "{\"name\": \"search\"",
      ", \"arguments\": ",
      "{\"a\": 1}",
      "}",
      "{",
      "\"",
      "\\",
      "```json\n",
      "```",
      "<|python_tag|>",
      "text ",
      "<",
      "\xC3\xA9",
      ", \"parameters\": ",
      "null",
      "\"{}\"",
      ":",
      "[",
      "1.5e3",
      " ",
      "<tool_call>\n{\"name\": \"get_time\", \"arguments\": {\"x\": \"}\"}}"};
  std::string text;
  for (const std::string& fragment :
       *rc::gen::container<std::vector<std::string>>(rc::gen::elementOf(fragments))) {
    text += fragment;
  }
  return text;
}

TEST(ToolCallParserTest, AnyCuttingGivesTheSame) {
  EXPECT_TRUE(rc::check("cuts do not matter", [] {
    const std::string text = ArbitraryAnswer();
    Options options = Coder(*rc::gen::arbitrary<bool>());
    options.bare_json = *rc::gen::arbitrary<bool>();
    ToolCallParser whole(Numbered(options)), cut(Numbered(options));
    std::vector<AnswerPiece> expected = whole.Feed(text), actual;
    for (AnswerPiece& piece : whole.Finish()) expected.push_back(std::move(piece));
    for (size_t at = 0; at < text.size();) {
      const auto size = *rc::gen::inRange<size_t>(1, 8);
      for (AnswerPiece& piece : cut.Feed(text.substr(at, size))) actual.push_back(std::move(piece));
      at += size;
    }
    for (AnswerPiece& piece : cut.Finish()) actual.push_back(std::move(piece));
    RC_ASSERT(Joined(actual) == Joined(expected));
    RC_ASSERT(whole.found_malformed() == cut.found_malformed());
  }));
}

TEST(ToolCallParserTest, NothingIsLostAndCallsAreWhole) {
  EXPECT_TRUE(rc::check("text without calls is kept; arguments are objects", [] {
    const std::string text = ArbitraryAnswer();
    const AssistantMessage message = Parse(text, Coder(/*stream_arguments=*/false));
    if (message.tool_calls.empty()) RC_ASSERT(message.content == text);
    for (const FunctionCall& call : message.tool_calls) {
      const Result<Json> arguments = ParseJson(call.arguments, "arguments");
      RC_ASSERT(arguments.ok() && arguments->is_object());
      RC_ASSERT(!call.name.empty());
    }
  }));
}

TEST(ToolCallParserTest, CallsOfAnyArgumentsComeBack) {
  EXPECT_TRUE(rc::check("written calls are read", [] {
    std::string text;
    AssistantMessage expected;
    const auto num_calls = *rc::gen::inRange(1, 4);
    for (int i = 0; i < num_calls; ++i) {
      const auto values = *rc::gen::arbitrary<std::map<std::string, std::string>>();
      Json arguments = Json::object();
      for (const auto& [key, value] : values) arguments[key] = {value, {{key, values.size()}}};
      const std::string written = DumpJson(arguments);
      text += "<tool_call>\n{\"name\": \"f\", \"arguments\": " + written + "}\n</tool_call>\n";
      expected.tool_calls.push_back({.id = "call_" + std::to_string(i), .name = "f", .arguments = written});
    }
    RC_ASSERT(Parse(text) == expected);
    RC_ASSERT(Parse(text, {.stream_arguments = false}) == expected);
  }));
}

// An assistant's turn as the template of Qwen2.5 prints it: what a model answers that had such turns as
// examples.
TEST(ToolCallParserTest, IsTheInverseOfRendering) {
  EXPECT_TRUE(rc::check("rendered turns are read", [] {
    ChatMessage message = {.role = "assistant"};
    message.content = *rc::gen::container<std::string>(rc::gen::inRange(' ', '~'));
    RC_PRE(message.content.find("<tool_call>") == std::string::npos);
    const auto num_calls = *rc::gen::inRange(1, 4);
    for (int i = 0; i < num_calls; ++i) {
      Json arguments = Json::object();
      for (const auto& key : *rc::gen::arbitrary<std::vector<std::string>>()) {
        const std::string text = RepairUtf8(key);
        arguments[text] = {{text, static_cast<double>(text.size()) / 7}, {"<tool_call>", nullptr}};
      }
      message.tool_calls.push_back({.name = "f" + std::to_string(i), .arguments = arguments});
    }
    const ChatMessage messages[] = {{.role = "user", .content = "q"}, message};
    const std::string prompt = RenderQwenChat(std::span(messages).first(1), {});
    const std::string whole = RenderQwenChat(messages, {.add_generation_prompt = false});
    // The model continues the prompt and stops at <|im_end|>.
    const size_t end = std::string_view("<|im_end|>\n").size();
    const AssistantMessage read = Parse(whole.substr(prompt.size(), whole.size() - prompt.size() - end));
    RC_ASSERT(read.content == message.content);
    RC_ASSERT(read.tool_calls.size() == message.tool_calls.size());
    for (size_t i = 0; i < read.tool_calls.size(); ++i) {
      RC_ASSERT(read.tool_calls[i].name == message.tool_calls[i].name);
      const Result<Json> arguments = ParseJson(read.tool_calls[i].arguments, "arguments");
      RC_ASSERT(arguments.ok() && *arguments == message.tool_calls[i].arguments);
    }
  }));
}

// The scanner takes what the parser of requests takes, up to the end of the object, but for the UTF-8, the
// surrogates and the repeated keys of strings, which none of these fragments has.
TEST(JsonScannerTest, TakesWhatAParserTakes) {
  const std::vector<std::string> fragments = {
      "{", "}", "[", "]",  ",", ":",  "\"a\"", "\"b\\n\"", "\"\\u00e9\"", "\"\\x", "\"",
      "0", "-", "1", ".5", "e", "+7", "true",  "false",    "null",        "nul",   " "};
  const auto expect_same = [](const std::string& text) {
    JsonScanner scanner;
    bool done = false, ok = true;
    for (size_t i = 0; i < text.size() && ok; ++i) {
      if (done) {
        ok = text[i] == ' ';
        continue;
      }
      const JsonScanner::Step step = scanner.Next(text[i]);
      ok = step.ok;
      done = step.done;
    }
    const ApiResult<Json> parsed = ParseRequestJson(text);
    const bool repeats = !parsed.ok() && parsed.error().message.find("twice") != std::string::npos;
    return repeats || (ok && done) == parsed.ok();
  };
  for (const char* text :
       {"{\"a\":-0.5e+7}", "{\"a\":[1,2.5,{}]}", "{\"a\":01}", "{\"a\":-}", "{\"a\":1.}", "{\"a\":[1,]}",
        "{\"a\":1,}", "{,}", "{\"a\"}", "{\"a\":nul}", "{\"a\":1e}", " {} ", "[]", "{]", "{\"a\":[}"}) {
    EXPECT_TRUE(expect_same(text)) << text;
  }
  EXPECT_TRUE(rc::check("as the parser", [&] {
    std::string text = "{\"a\":";
    for (const auto& fragment :
         *rc::gen::container<std::vector<std::string>>(rc::gen::elementOf(fragments))) {
      text += fragment;
    }
    RC_ASSERT(expect_same(text + "}"));
  }));
}

}  // namespace
}  // namespace qwen25

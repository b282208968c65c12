// Finds calls of functions in an answer that arrives in pieces.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "serve/api/json_scanner.h"

namespace qwen25 {

// A piece of a call. The first one of a call has its id and name and no arguments; the arguments of all its
// pieces together are the text of a JSON object.
struct ToolCallDelta {
  size_t index = 0;  // of the call in the answer, from 0
  std::string id, name, arguments;
  bool operator==(const ToolCallDelta&) const = default;
};

// A piece of an answer: text for the reader, or of a call.
struct AnswerPiece {
  std::string content;
  std::optional<ToolCallDelta> call;
  bool operator==(const AnswerPiece&) const = default;
};

// What calls look like:
//   - <tool_call>{"name": ..., "arguments": {...}}</tool_call>, as Qwen2.5 and Hermes write them; the end tag
//     may be missing;
//   - <|python_tag|>{"name": ..., "parameters": {...}}, as Llama 3.1 does;
//   - with `bare_json`, the same object at the beginning of a line, alone or in a fence of three backquotes
//     that may say "json", if it names one of `tool_names`: Qwen2.5-Coder leaves out the tags.
// "parameters" and "arguments" mean the same. Arguments may also be a string that holds an object; without
// arguments they are {}. Other members are left out. What begins like a call but is not the JSON of one
// stays text, tags included.
//
// One newline before a call and white space between calls and at the end after one separate them and are no
// content; chat templates print them again.
//
// However the answer is cut into pieces, the texts and calls are the same.
class ToolCallParser {
 public:
  struct Options {
    // Whether the arguments of a call that has its name are given as they come. If such a call turns out to
    // be broken, what was given stays, and the rest of it becomes text. Otherwise a call is given whole, once
    // its JSON is complete, and a broken one is text from its beginning.
    bool stream_arguments = true;
    bool bare_json = false;
    std::vector<std::string> tool_names = {};        // of bare_json
    std::function<std::string()> make_id = nullptr;  // of calls; null: NewIdentifier("call_")
  };
  explicit ToolCallParser(Options options);

  // The pieces that `text` completes, in their order; neighbours are never of the same kind, except that a
  // call begins with a piece of its own.
  std::vector<AnswerPiece> Feed(std::string_view text);
  // The rest, at the end of the answer. A call that breaks off within its arguments is given as far as it
  // came if its arguments are streamed.
  std::vector<AnswerPiece> Finish();

  // How many calls have begun in what was given.
  size_t num_calls() const { return num_calls_; }
  // Whether something began like a call and was none, or a call was broken.
  bool found_malformed() const { return found_malformed_; }

 private:
  enum class State : uint8_t { kText, kCall, kAfterJson };
  enum class Opening : uint8_t { kNone, kUnclear, kTag, kPythonTag, kBare, kFence };

  void Take(char c);
  void TakeText(char c);
  void TakeCall(char c);
  void TakeAfterJson(char c);
  Opening MatchOpening() const;
  void ReleaseHeld();  // the first character of what is held back
  void BeginCall(Opening opening);
  // These return false if the call is broken.
  bool BeginMember(char c);
  bool EndMember();
  bool EndName();
  bool EndArgumentsText();
  void BreakCall(char c);
  void GiveCall(bool is_complete);
  void EndJson();
  void Emit(std::string_view text);

  const Options options_;
  std::vector<AnswerPiece> out_;
  State state_ = State::kText;
  std::string held_;       // may begin a call, or end one
  std::string separator_;  // white space after a call, before `held_`
  bool at_line_start_ = true;
  bool after_call_ = false;  // nothing but `separator_` has come since a call
  size_t num_calls_ = 0;
  bool found_malformed_ = false;

  // The call that is being read.
  struct Call {
    Opening opening = Opening::kNone;
    JsonScanner scanner;
    std::string raw;      // all of its text, as long as nothing of it was given
    std::string capture;  // the text of a key, or of a member's value that is needed as a whole
    bool is_capturing = false;
    std::string member;  // the key that was read last
    std::optional<std::string> name;
    std::string arguments;       // not given yet
    bool in_arguments = false;   // inside of an object
    bool has_arguments = false;  // they have begun
    bool is_complete = false;    // they have ended
    bool is_given = false;       // the piece with the name was
  };
  Call call_;
};

// An answer as a whole.
struct FunctionCall {
  std::string id, name, arguments;
  bool operator==(const FunctionCall&) const = default;
};
struct AssistantMessage {
  std::string content;
  std::vector<FunctionCall> tool_calls;
  bool operator==(const AssistantMessage&) const = default;
};

// Adds pieces, which must come in their order.
void AppendPieces(const std::vector<AnswerPiece>& pieces, AssistantMessage& message);

}  // namespace qwen25

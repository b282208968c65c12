#include "serve/api/tool_call_parser.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/json.h"
#include "serve/api/identifier.h"
#include "serve/api/request_json.h"

namespace qwen25 {
namespace {

constexpr std::string_view kTag = "<tool_call>", kEndTag = "</tool_call>", kPythonTag = "<|python_tag|>",
                           kFence = "```", kFenceLanguage = "json";

bool IsSpace(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

enum class FenceMatch { kNone, kPartial, kFull };

// Whether `text` is the line of a fence with the brace of an object below it, or may become that.
FenceMatch MatchFence(std::string_view text) {
  // More white space than this is no fence that a model writes; the bound keeps the work per character small.
  constexpr size_t kMaxFenceBytes = 32;
  if (text.size() > kMaxFenceBytes) return FenceMatch::kNone;
  if (kFence.starts_with(text)) return FenceMatch::kPartial;
  if (!text.starts_with(kFence)) return FenceMatch::kNone;
  text.remove_prefix(kFence.size());
  if (kFenceLanguage.starts_with(text)) return FenceMatch::kPartial;
  if (text.starts_with(kFenceLanguage)) text.remove_prefix(kFenceLanguage.size());
  const size_t line_end = text.find('\n');
  const size_t line_bytes = std::min(line_end, text.size());
  if (!std::ranges::all_of(text.substr(0, line_bytes), IsSpace)) return FenceMatch::kNone;
  if (line_end == std::string_view::npos) return FenceMatch::kPartial;
  const size_t object = text.find_first_not_of(" \t\r\n", line_end);
  if (object == std::string_view::npos) return FenceMatch::kPartial;
  return text[object] == '{' ? FenceMatch::kFull : FenceMatch::kNone;
}

// The value of a JSON string with its quotes; nothing if it holds an escape of a lone surrogate or is not
// UTF-8.
std::optional<std::string> DecodeString(const std::string& quoted) {
  const ApiResult<Json> value = ParseEmbeddedJson(quoted, "");
  if (!value.ok()) return std::nullopt;
  return value->get<std::string>();
}

}  // namespace

ToolCallParser::ToolCallParser(Options options) : options_(std::move(options)) {}

std::vector<AnswerPiece> ToolCallParser::Feed(std::string_view text) {
  for (const char c : text) Take(c);
  return std::exchange(out_, {});
}

std::vector<AnswerPiece> ToolCallParser::Finish() {
  if (state_ == State::kCall) {
    if (call_.name.has_value() && call_.is_complete) {
      GiveCall(/*is_complete=*/true);
    } else {
      found_malformed_ = true;
      Emit(call_.raw);  // "" if it was given in part
    }
  } else if (state_ == State::kText) {
    while (!held_.empty()) ReleaseHeld();
  }
  // After the JSON of a call only its end tag can be held back, cut off; it says nothing.
  held_.clear();
  separator_.clear();
  return std::exchange(out_, {});
}

void ToolCallParser::Take(char c) {
  switch (state_) {
    case State::kText:
      return TakeText(c);
    case State::kCall:
      return TakeCall(c);
    case State::kAfterJson:
      return TakeAfterJson(c);
  }
}

void ToolCallParser::TakeText(char c) {
  if (after_call_ && held_.empty() && IsSpace(c)) {
    separator_ += c;
    return;
  }
  held_ += c;
  while (!held_.empty()) {
    const Opening opening = MatchOpening();
    if (opening == Opening::kUnclear) return;
    if (opening != Opening::kNone) return BeginCall(opening);
    ReleaseHeld();
  }
}

ToolCallParser::Opening ToolCallParser::MatchOpening() const {
  std::string_view text = held_;
  const bool begins_line = text[0] == '\n' || at_line_start_ || after_call_;
  if (text[0] == '\n') text.remove_prefix(1);
  if (text.empty()) return Opening::kUnclear;
  if (text == kTag) return Opening::kTag;
  if (text == kPythonTag) return Opening::kPythonTag;
  if (kTag.starts_with(text) || kPythonTag.starts_with(text)) return Opening::kUnclear;
  if (!options_.bare_json || !begins_line) return Opening::kNone;
  if (text[0] == '{') return Opening::kBare;
  switch (MatchFence(text)) {
    case FenceMatch::kFull:
      return Opening::kFence;
    case FenceMatch::kPartial:
      return Opening::kUnclear;
    case FenceMatch::kNone:
      break;
  }
  return Opening::kNone;
}

void ToolCallParser::ReleaseHeld() {
  if (after_call_) Emit(std::exchange(separator_, {}));
  after_call_ = false;
  Emit(held_.substr(0, 1));
  held_.erase(0, 1);
}

void ToolCallParser::BeginCall(Opening opening) {
  state_ = State::kCall;
  call_ = {.opening = opening, .raw = std::exchange(separator_, {}) + std::exchange(held_, {})};
  // The brace that was needed to recognise the call belongs to its JSON.
  if (opening == Opening::kBare || opening == Opening::kFence) (void)call_.scanner.Next('{');
}

void ToolCallParser::TakeCall(char c) {
  using Part = JsonScanner::Part;
  const JsonScanner::Step step = call_.scanner.Next(c);
  if (!step.ok) return BreakCall(c);
  const bool is_outer = step.level == 1;
  if (is_outer && step.begins == Part::kValue && !BeginMember(c)) return BreakCall(c);
  if (is_outer && step.begins == Part::kKey) {
    call_.capture.clear();
    call_.is_capturing = true;
  }
  if (call_.is_capturing) call_.capture += c;
  if (call_.in_arguments) call_.arguments += c;
  if (is_outer && step.ends == Part::kKey) {
    std::optional<std::string> key = DecodeString(call_.capture);
    if (!key.has_value()) return BreakCall(c);
    call_.member = std::move(*key);
    call_.is_capturing = false;
  }
  if (is_outer && step.ends == Part::kValue && !EndMember()) return BreakCall(c);
  if (!call_.is_given) call_.raw += c;
  if (step.done) return EndJson();
  if (options_.stream_arguments && call_.name.has_value() && call_.has_arguments) {
    GiveCall(/*is_complete=*/false);
  }
}

bool ToolCallParser::BeginMember(char c) {
  call_.is_capturing = false;
  if (call_.member == "name") {
    if (call_.name.has_value() || c != '"') return false;
    call_.is_capturing = true;
  } else if (call_.member == "arguments" || call_.member == "parameters") {
    if (call_.has_arguments) return false;
    if (c != '{' && c != '"' && c != 'n') return false;
    call_.in_arguments = call_.has_arguments = c == '{';
    call_.is_capturing = c != '{';
  }
  call_.capture.clear();
  return true;
}

bool ToolCallParser::EndMember() {
  if (call_.in_arguments) {
    call_.in_arguments = false;
    call_.is_complete = true;
    return true;
  }
  if (!call_.is_capturing) return true;  // a member that calls do not have
  call_.is_capturing = false;
  return call_.member == "name" ? EndName() : EndArgumentsText();
}

bool ToolCallParser::EndName() {
  std::optional<std::string> name = DecodeString(call_.capture);
  if (!name.has_value() || name->empty()) return false;
  const bool must_be_known = call_.opening == Opening::kBare || call_.opening == Opening::kFence;
  if (must_be_known && std::ranges::find(options_.tool_names, *name) == options_.tool_names.end())
    return false;
  call_.name = std::move(name);
  return true;
}

bool ToolCallParser::EndArgumentsText() {
  call_.arguments = "{}";  // null, and a string of that or of nothing, as in requests
  if (call_.capture != "null") {
    std::optional<std::string> text = DecodeString(call_.capture);
    if (!text.has_value()) return false;
    if (!std::ranges::all_of(*text, IsSpace)) {
      const ApiResult<Json> value = ParseEmbeddedJson(*text, "");
      if (!value.ok() || !(value->is_object() || value->is_null())) return false;
      if (value->is_object()) call_.arguments = std::move(*text);
    }
  }
  call_.has_arguments = call_.is_complete = true;
  return true;
}

void ToolCallParser::GiveCall(bool is_complete) {
  if (is_complete && !call_.has_arguments) call_.arguments = "{}";
  if (!call_.is_given) {
    const std::string id = options_.make_id ? options_.make_id() : NewIdentifier("call_");
    out_.push_back({.call = ToolCallDelta{.index = num_calls_++, .id = id, .name = *call_.name}});
    call_.is_given = true;
    call_.raw.clear();
  }
  if (call_.arguments.empty()) return;
  const size_t index = num_calls_ - 1;
  AnswerPiece* last = out_.empty() ? nullptr : &out_.back();
  const bool continues = last != nullptr && last->call.has_value() && last->call->index == index;
  if (!continues || last->call->arguments.empty()) {
    out_.push_back({.call = ToolCallDelta{.index = index}});
    last = &out_.back();
  }
  last->call->arguments += std::exchange(call_.arguments, {});
}

// The object is complete.
void ToolCallParser::EndJson() {
  if (!call_.name.has_value()) {
    found_malformed_ = true;
    state_ = State::kText;
    after_call_ = false;
    return Emit(call_.raw);
  }
  GiveCall(/*is_complete=*/true);
  const bool has_end_tag = call_.opening == Opening::kTag || call_.opening == Opening::kFence;
  state_ = has_end_tag ? State::kAfterJson : State::kText;
  after_call_ = true;
}

// The object does not go on with `c`.
void ToolCallParser::BreakCall(char c) {
  found_malformed_ = true;
  if (call_.name.has_value() && call_.is_complete) {  // only the end is missing or wrong
    EndJson();
    return Take(c);
  }
  state_ = State::kText;
  after_call_ = false;
  if (call_.is_given) {
    at_line_start_ = false;
  } else {
    Emit(call_.raw);
  }
  TakeText(c);
}

void ToolCallParser::TakeAfterJson(char c) {
  if (held_.empty() && IsSpace(c)) {
    separator_ += c;
    return;
  }
  held_ += c;
  const std::string_view end = call_.opening == Opening::kTag ? kEndTag : kFence;
  if (held_ == end) {
    held_.clear();
    separator_.clear();
    state_ = State::kText;
  } else if (!end.starts_with(held_)) {  // the end tag is missing
    state_ = State::kText;
    for (const char held : std::exchange(held_, {})) TakeText(held);
  }
}

void ToolCallParser::Emit(std::string_view text) {
  if (text.empty()) return;
  at_line_start_ = text.back() == '\n';
  if (out_.empty() || out_.back().call.has_value()) out_.emplace_back();
  out_.back().content += text;
}

void AppendPieces(const std::vector<AnswerPiece>& pieces, AssistantMessage& message) {
  for (const AnswerPiece& piece : pieces) {
    message.content += piece.content;
    if (!piece.call.has_value()) continue;
    if (piece.call->index >= message.tool_calls.size()) {
      QWEN25_CHECK(piece.call->index == message.tool_calls.size());
      message.tool_calls.push_back({.id = piece.call->id, .name = piece.call->name});
    }
    message.tool_calls[piece.call->index].arguments += piece.call->arguments;
  }
}

}  // namespace qwen25

#include "serve/api/message_reply.h"

#include <utility>

#include "base/check.h"
#include "text/utf8.h"

namespace qwen25 {
namespace {

// "end_turn", "tool_use", "stop_sequence", "max_tokens", also for a deadline, or
// "model_context_window_exceeded".
std::string_view StopReason(const AnswerEnd& end) {
  switch (end.reason) {
    case FinishReason::kStopToken:
      return end.has_calls ? "tool_use" : "end_turn";
    case FinishReason::kStopText:
      return "stop_sequence";
    case FinishReason::kLength:
    case FinishReason::kCancelled:
      return "max_tokens";
    case FinishReason::kContextFull:
      return "model_context_window_exceeded";
    case FinishReason::kError:
      break;
  }
  QWEN25_CHECK(false);
  return "";
}

Json StopSequence(const AnswerEnd& end) {
  return end.reason == FinishReason::kStopText ? Json(RepairUtf8(end.stop_text)) : Json(nullptr);
}

// Anthropic counts what was read from a cache apart from the rest of the prompt.
Json MessageUsageJson(const TokenUsage& usage) {
  return {{"input_tokens", usage.prompt_tokens - usage.cached_tokens},
          {"cache_creation_input_tokens", 0},
          {"cache_read_input_tokens", usage.cached_tokens},
          {"output_tokens", usage.completion_tokens}};
}

Json TextBlock(const std::string& text) {
  return {{"type", "text"}, {"text", text}};
}

Json ToolUseBlock(const FunctionCall& call, Json input) {
  return {{"type", "tool_use"}, {"id", call.id}, {"name", call.name}, {"input", std::move(input)}};
}

// Of a whole answer. Numbers of a call are what float64 makes of them; the events of a stream have the text
// itself. Arguments that only look like JSON, with 1e999 or half of a surrogate pair, are given as text.
Json BlockJson(const AnswerPart& part) {
  if (!part.call) return TextBlock(part.text);
  Result<Json> input = ParseJson(part.call->arguments, "arguments");
  return input.ok() ? ToolUseBlock(*part.call, std::move(*input)) : TextBlock(part.call->arguments);
}

}  // namespace

MessageReplyWriter::MessageReplyWriter(ReplyHead head, size_t num_prompt_tokens)
    : head_(std::move(head)), num_prompt_tokens_(num_prompt_tokens) {}

Json MessageReplyWriter::MessageJson(Json content, Json stop_reason, Json stop_sequence,
                                     const TokenUsage& usage) const {
  return {{"id", head_.id},
          {"type", "message"},
          {"role", "assistant"},
          {"model", RepairUtf8(head_.model)},
          {"content", std::move(content)},
          {"stop_reason", std::move(stop_reason)},
          {"stop_sequence", std::move(stop_sequence)},
          {"usage", MessageUsageJson(usage)}};
}

Json MessageReplyWriter::Whole(std::span<const ReplyChoice> choices, const TokenUsage& usage) {
  QWEN25_CHECK(choices.size() == 1);
  Json content = Json::array();
  for (const AnswerPart& part : PartsOf(choices[0])) content.push_back(BlockJson(part));
  const AnswerEnd& why = choices[0].end;
  return MessageJson(std::move(content), StopReason(why), StopSequence(why), usage);
}

void MessageReplyWriter::BeginReply(std::vector<Json>& events) {
  events.push_back(
      {{"type", "message_start"},
       {"message", MessageJson(Json::array(), nullptr, nullptr, {.prompt_tokens = num_prompt_tokens_})}});
  events.push_back({{"type", "ping"}});
}

void MessageReplyWriter::BeginPart(const AnswerPart& part, std::vector<Json>& events) {
  Json block = part.call ? ToolUseBlock(*part.call, Json::object()) : TextBlock("");
  events.push_back(
      {{"type", "content_block_start"}, {"index", part.index}, {"content_block", std::move(block)}});
}

void MessageReplyWriter::ContinuePart(const AnswerPart& part, std::string_view more,
                                      std::span<const TokenLogprob>, std::vector<Json>& events) {
  Json delta = part.call ? Json{{"type", "input_json_delta"}, {"partial_json", more}}
                         : Json{{"type", "text_delta"}, {"text", more}};
  events.push_back({{"type", "content_block_delta"}, {"index", part.index}, {"delta", std::move(delta)}});
}

void MessageReplyWriter::EndPart(const AnswerPart& part, bool, std::vector<Json>& events) {
  events.push_back({{"type", "content_block_stop"}, {"index", part.index}});
}

std::vector<Json> MessageReplyWriter::End(const TokenUsage& usage) {
  Json delta = {{"stop_reason", StopReason(end())}, {"stop_sequence", StopSequence(end())}};
  return {Json{{"type", "message_delta"}, {"delta", std::move(delta)}, {"usage", MessageUsageJson(usage)}},
          Json{{"type", "message_stop"}}};
}

}  // namespace qwen25

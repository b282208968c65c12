#include "serve/api/chat_reply.h"

#include <utility>

#include "text/utf8.h"

namespace qwen25 {
namespace {

Json ToolCallJson(const FunctionCall& call) {
  return {{"id", call.id},
          {"type", "function"},
          {"function", {{"name", RepairUtf8(call.name)}, {"arguments", RepairUtf8(call.arguments)}}}};
}

Json MessageReplyJson(const AssistantMessage& message) {
  const bool says_nothing = message.content.empty() && !message.tool_calls.empty();
  Json json = {{"role", "assistant"},
               {"content", says_nothing ? Json(nullptr) : Json(RepairUtf8(message.content))},
               {"refusal", nullptr}};
  if (message.tool_calls.empty()) return json;
  json["tool_calls"] = Json::array();
  for (const FunctionCall& call : message.tool_calls) json["tool_calls"].push_back(ToolCallJson(call));
  return json;
}

Json ContentDelta(std::string text) {
  return {{"content", std::move(text)}};
}

Json ArgumentsDelta(size_t index, std::string arguments) {
  return {
      {"tool_calls", Json::array({{{"index", index}, {"function", {{"arguments", std::move(arguments)}}}}})}};
}

Json CallDelta(const ToolCallDelta& call) {
  return {
      {"tool_calls", Json::array({{{"index", call.index},
                                   {"id", call.id},
                                   {"type", "function"},
                                   {"function", {{"name", RepairUtf8(call.name)}, {"arguments", ""}}}}})}};
}

}  // namespace

ChatReplyWriter::ChatReplyWriter(ReplyHead head, bool include_usage)
    : head_(std::move(head)), include_usage_(include_usage) {}

Json ChatReplyWriter::Whole(std::span<const ReplyChoice> choices, const TokenUsage& usage) {
  Json list = Json::array();
  for (size_t i = 0; i < choices.size(); ++i) {
    const ReplyChoice& choice = choices[i];
    list.push_back({{"index", i},
                    {"message", MessageReplyJson(choice.message)},
                    {"logprobs", choice.logprobs ? ChatLogprobsJson(*choice.logprobs) : Json(nullptr)},
                    {"finish_reason", FinishReasonWord(choice.end)}});
  }
  return {{"id", head_.id},
          {"object", "chat.completion"},
          {"created", head_.created},
          {"model", RepairUtf8(head_.model)},
          {"choices", std::move(list)},
          {"usage", UsageJson(usage)}};
}

Json ChatReplyWriter::Chunk(size_t choice, Json delta, Json finish_reason, Json logprobs) const {
  Json chunk = {{"id", head_.id},
                {"object", "chat.completion.chunk"},
                {"created", head_.created},
                {"model", RepairUtf8(head_.model)},
                {"choices", Json::array({{{"index", choice},
                                          {"delta", std::move(delta)},
                                          {"logprobs", std::move(logprobs)},
                                          {"finish_reason", std::move(finish_reason)}}})}};
  if (include_usage_) chunk["usage"] = nullptr;
  return chunk;
}

std::vector<Json> ChatReplyWriter::Begin(size_t choice) {
  if (std::exchange(choices_[choice].has_begun, true)) return {};
  return {Chunk(choice, {{"role", "assistant"}, {"content", ""}}, nullptr, nullptr)};
}

Json ChatReplyWriter::TakeLogprobs(size_t choice) {
  const std::vector<TokenLogprob> logprobs = std::exchange(choices_[choice].logprobs, {});
  return logprobs.empty() ? Json(nullptr) : ChatLogprobsJson(logprobs);
}

void ChatReplyWriter::Append(size_t choice, Json delta, std::vector<Json>& chunks) {
  for (Json& first : Begin(choice)) chunks.push_back(std::move(first));
  chunks.push_back(Chunk(choice, std::move(delta), nullptr, TakeLogprobs(choice)));
}

void ChatReplyWriter::AppendRest(size_t choice, std::vector<Json>& chunks) {
  Choice& state = choices_[choice];
  if (std::string text = state.content.Finish(); !text.empty()) {
    Append(choice, ContentDelta(std::move(text)), chunks);
  }
  if (std::string arguments = state.arguments.Finish(); !arguments.empty()) {
    Append(choice, ArgumentsDelta(state.call_index, std::move(arguments)), chunks);
  }
}

std::vector<Json> ChatReplyWriter::Next(size_t choice, std::span<const AnswerPiece> pieces,
                                        std::span<const TokenLogprob> logprobs) {
  std::vector<Json> chunks;
  Choice& state = choices_[choice];
  state.logprobs.insert(state.logprobs.end(), logprobs.begin(), logprobs.end());
  for (const AnswerPiece& piece : pieces) {
    if (!piece.call.has_value()) {
      if (std::string text = state.content.Next(piece.content); !text.empty()) {
        Append(choice, ContentDelta(std::move(text)), chunks);
      }
      continue;
    }
    if (!piece.call->id.empty()) {
      AppendRest(choice, chunks);
      state.call_index = piece.call->index;
      Append(choice, CallDelta(*piece.call), chunks);
    }
    if (std::string arguments = state.arguments.Next(piece.call->arguments); !arguments.empty()) {
      Append(choice, ArgumentsDelta(state.call_index, std::move(arguments)), chunks);
    }
  }
  return chunks;
}

std::vector<Json> ChatReplyWriter::Finish(size_t choice, const AnswerEnd& end) {
  std::vector<Json> chunks = Begin(choice);
  AppendRest(choice, chunks);
  chunks.push_back(Chunk(choice, Json::object(), FinishReasonWord(end), TakeLogprobs(choice)));
  return chunks;
}

std::vector<Json> ChatReplyWriter::End(const TokenUsage& usage) {
  if (!include_usage_) return {};
  return {Json{{"id", head_.id},
               {"object", "chat.completion.chunk"},
               {"created", head_.created},
               {"model", RepairUtf8(head_.model)},
               {"choices", Json::array()},
               {"usage", UsageJson(usage)}}};
}

}  // namespace qwen25

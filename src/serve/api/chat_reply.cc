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

Json ChatCompletionJson(const ReplyHead& head, std::span<const ChatChoice> choices, const TokenUsage& usage) {
  Json list = Json::array();
  for (size_t i = 0; i < choices.size(); ++i) {
    const ChatChoice& choice = choices[i];
    list.push_back({{"index", i},
                    {"message", MessageReplyJson(choice.message)},
                    {"logprobs", choice.logprobs ? ChatLogprobsJson(*choice.logprobs) : Json(nullptr)},
                    {"finish_reason", choice.finish_reason}});
  }
  return {{"id", head.id},
          {"object", "chat.completion"},
          {"created", head.created},
          {"model", RepairUtf8(head.model)},
          {"choices", std::move(list)},
          {"usage", UsageJson(usage)}};
}

ChatChunkWriter::ChatChunkWriter(ReplyHead head, bool include_usage)
    : head_(std::move(head)), include_usage_(include_usage) {}

Json ChatChunkWriter::Chunk(size_t choice, Json delta, Json finish_reason, Json logprobs) const {
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

std::vector<Json> ChatChunkWriter::Begin(size_t choice) {
  if (std::exchange(choices_[choice].has_begun, true)) return {};
  return {Chunk(choice, {{"role", "assistant"}, {"content", ""}}, nullptr, nullptr)};
}

Json ChatChunkWriter::TakeLogprobs(size_t choice) {
  const std::vector<TokenLogprob> logprobs = std::exchange(choices_[choice].logprobs, {});
  return logprobs.empty() ? Json(nullptr) : ChatLogprobsJson(logprobs);
}

void ChatChunkWriter::Append(size_t choice, Json delta, std::vector<Json>& chunks) {
  for (Json& first : Begin(choice)) chunks.push_back(std::move(first));
  chunks.push_back(Chunk(choice, std::move(delta), nullptr, TakeLogprobs(choice)));
}

void ChatChunkWriter::AppendRest(size_t choice, std::vector<Json>& chunks) {
  Choice& state = choices_[choice];
  if (std::string text = state.content.Finish(); !text.empty()) {
    Append(choice, ContentDelta(std::move(text)), chunks);
  }
  if (std::string arguments = state.arguments.Finish(); !arguments.empty()) {
    Append(choice, ArgumentsDelta(state.call_index, std::move(arguments)), chunks);
  }
}

std::vector<Json> ChatChunkWriter::Next(size_t choice, std::span<const AnswerPiece> pieces,
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

std::vector<Json> ChatChunkWriter::Finish(size_t choice, std::string_view finish_reason) {
  std::vector<Json> chunks = Begin(choice);
  AppendRest(choice, chunks);
  chunks.push_back(Chunk(choice, Json::object(), std::string(finish_reason), TakeLogprobs(choice)));
  return chunks;
}

Json ChatChunkWriter::Usage(const TokenUsage& usage) const {
  return {{"id", head_.id},           {"object", "chat.completion.chunk"},
          {"created", head_.created}, {"model", RepairUtf8(head_.model)},
          {"choices", Json::array()}, {"usage", UsageJson(usage)}};
}

}  // namespace qwen25

#include "serve/api/completion_reply.h"

#include <utility>

#include "text/utf8.h"

namespace qwen25 {
namespace {

Json CompletionObject(const ReplyHead& head, Json choices) {
  return {{"id", head.id},
          {"object", "text_completion"},
          {"created", head.created},
          {"model", RepairUtf8(head.model)},
          {"choices", std::move(choices)}};
}

Json ChoiceJson(size_t index, std::string text, Json logprobs, Json finish_reason) {
  return {{"index", index},
          {"text", std::move(text)},
          {"logprobs", std::move(logprobs)},
          {"finish_reason", std::move(finish_reason)}};
}

}  // namespace

CompletionReplyWriter::CompletionReplyWriter(ReplyHead head, bool include_usage)
    : head_(std::move(head)), include_usage_(include_usage) {}

Json CompletionReplyWriter::Whole(std::span<const ReplyChoice> choices, const TokenUsage& usage) {
  Json list = Json::array();
  for (const ReplyChoice& choice : choices) {
    Json logprobs = choice.logprobs ? CompletionLogprobs().Next(*choice.logprobs) : Json(nullptr);
    list.push_back(ChoiceJson(list.size(), RepairUtf8(choice.message.content), std::move(logprobs),
                              FinishReasonWord(choice.end)));
  }
  Json reply = CompletionObject(head_, std::move(list));
  reply["usage"] = UsageJson(usage);
  return reply;
}

Json CompletionReplyWriter::Chunk(size_t choice, std::string text, Json finish_reason) {
  Choice& state = choices_[choice];
  Json logprobs = state.logprobs.empty() ? Json(nullptr) : state.writer.Next(state.logprobs);
  state.logprobs.clear();
  Json chunk = CompletionObject(
      head_,
      Json::array({ChoiceJson(choice, std::move(text), std::move(logprobs), std::move(finish_reason))}));
  if (include_usage_) chunk["usage"] = nullptr;
  return chunk;
}

std::vector<Json> CompletionReplyWriter::Next(size_t choice, std::span<const AnswerPiece> pieces,
                                              std::span<const TokenLogprob> logprobs) {
  Choice& state = choices_[choice];
  state.logprobs.insert(state.logprobs.end(), logprobs.begin(), logprobs.end());
  std::string text;
  for (const AnswerPiece& piece : pieces) text += state.text.Next(piece.content);
  if (text.empty()) return {};
  return {Chunk(choice, std::move(text), nullptr)};
}

std::vector<Json> CompletionReplyWriter::Finish(size_t choice, const AnswerEnd& end) {
  return {Chunk(choice, choices_[choice].text.Finish(), FinishReasonWord(end))};
}

std::vector<Json> CompletionReplyWriter::End(const TokenUsage& usage) {
  if (!include_usage_) return {};
  Json chunk = CompletionObject(head_, Json::array());
  chunk["usage"] = UsageJson(usage);
  return {std::move(chunk)};
}

}  // namespace qwen25

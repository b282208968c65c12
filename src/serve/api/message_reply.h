// POST /v1/messages: the reply, as a whole or as the events of a stream.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "serve/api/part_reply_writer.h"

namespace qwen25 {

// The object "message" of Anthropic's API.
class MessageReplyWriter : public PartReplyWriter {
 public:
  // `num_prompt_tokens` is what a stream's first event says; how many of them were known already is counted
  // in its last ones.
  MessageReplyWriter(ReplyHead head, size_t num_prompt_tokens);

  Json Whole(std::span<const ReplyChoice> choices, const TokenUsage& usage) override;
  std::vector<Json> End(const TokenUsage& usage) override;
  std::vector<Json> Fail(const ApiError& error) override { return {AnthropicErrorJson(error)}; }

 private:
  void BeginReply(std::vector<Json>& events) override;
  void BeginPart(const AnswerPart& part, std::vector<Json>& events) override;
  void ContinuePart(const AnswerPart& part, std::string_view more, std::span<const TokenLogprob> logprobs,
                    std::vector<Json>& events) override;
  void EndPart(const AnswerPart& part, bool is_cut, std::vector<Json>& events) override;
  Json MessageJson(Json content, Json stop_reason, Json stop_sequence, const TokenUsage& usage) const;

  const ReplyHead head_;
  const size_t num_prompt_tokens_;
};

}  // namespace qwen25

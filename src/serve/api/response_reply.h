// POST /v1/responses: the reply, as a whole or as the events of a stream.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "serve/api/part_reply_writer.h"

namespace qwen25 {

// The object "response" of OpenAI's API.
class ResponseReplyWriter : public PartReplyWriter {
 public:
  // `shown` has the members of the request that replies repeat (ResponseRequest::shown).
  ResponseReplyWriter(ReplyHead head, Json shown);

  Json Whole(std::span<const ReplyChoice> choices, const TokenUsage& usage) override;
  std::vector<Json> End(const TokenUsage& usage) override;
  std::vector<Json> Fail(const ApiError& error) override;

 private:
  void BeginReply(std::vector<Json>& events) override;
  void BeginPart(const AnswerPart& part, std::vector<Json>& events) override;
  void ContinuePart(const AnswerPart& part, std::string_view more, std::span<const TokenLogprob> logprobs,
                    std::vector<Json>& events) override;
  void EndPart(const AnswerPart& part, bool is_cut, std::vector<Json>& events) override;

  Json Event(std::string_view type, Json members);
  // The same for a part: with where it stands.
  Json PartEvent(std::string_view type, const AnswerPart& part, Json members);
  std::string ItemId(const AnswerPart& part) const;
  Json ItemJson(const AnswerPart& part, std::string_view status) const;
  Json ResponseJson(std::string_view status, Json output, Json usage) const;
  // A response that has ended.
  Json EndedJson(std::span<const AnswerPart> parts, const AnswerEnd& why, const TokenUsage& usage) const;

  const ReplyHead head_;
  const Json shown_;
  int64_t sequence_number_ = 0;  // of the next event
};

}  // namespace qwen25

// Counts the tokens of a reply with several choices.
#pragma once

#include "infer/scheduler/stream_request.h"
#include "serve/api/reply_parts.h"
#include "serve/calls/server_call.h"

namespace qwen25 {

class ReplyUsage {
 public:
  // A choice has ended. A prompt that has several choices counts once.
  void Add(const StreamResult& result, bool is_first_of_prompt) {
    if (is_first_of_prompt) {
      usage_.prompt_tokens += result.num_prompt_tokens;
      usage_.cached_tokens += result.reuse.total();
    }
    usage_.completion_tokens += result.num_answer_tokens;
    usage_.accepted_prediction_tokens += result.speculation.num_accepted;
    usage_.rejected_prediction_tokens += result.speculation.num_proposed - result.speculation.num_accepted;
  }
  const TokenUsage& usage() const { return usage_; }
  // For the log and the limits of the key.
  void Tell(ServerCall& call) const {
    call.AddTokens(usage_.prompt_tokens, usage_.cached_tokens, usage_.completion_tokens);
  }

 private:
  TokenUsage usage_;
};

}  // namespace qwen25

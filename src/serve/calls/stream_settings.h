// What the API asks for, in the terms of the scheduler.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "serve/api/api_error.h"
#include "serve/api/prompt_input.h"
#include "serve/api/sampling_request.h"
#include "serve/api/token_logprobs.h"
#include "serve/calls/server_call.h"
#include "serve/models/served_model.h"

namespace qwen25 {

// What a request for text says beside its prompt.
struct StreamSettings {
  const SamplingRequest& sampling;
  const ServerOptions& server;
  std::optional<int64_t> max_tokens;  // none: until the context is full
  std::optional<int64_t> num_top;     // alternatives to report for each token; none: no scores
};

// The stream of one choice, without its prompt; `choice` tells the seeds of several choices apart. An error
// names the field: a namespace or priority that the key may not use, a policy of routing that the model
// cannot follow, an id outside of the vocabulary.
ApiResult<StreamRequest> MakeStream(const ServerCall& call, const ServedModel& model,
                                    const StreamSettings& settings, size_t choice);

// The tokens of a text or list of ids, as a prompt of its own. Added tokens in a text are recognised, and
// what the tokenizer puts before texts is put before it. 400 with `param` if an id is outside of the
// vocabulary, or if there are no tokens.
ApiResult<std::vector<int32_t>> TokensOf(const PromptInput& input, const LoadedModel& model,
                                         const std::string& param);
// 400 "context_length_exceeded" if the prompt leaves no room for an answer.
std::optional<ApiError> CheckPromptFits(const std::vector<int32_t>& prompt, const ServedModel& model,
                                        const std::string& param);

// 429 with the time to wait for a full queue; else as ServerCall::Refuse.
void RefuseStream(ServerCall& call, const ServedModel& model, const Status& status);

// A token's score as replies show it.
TokenLogprob ToLogprob(const Tokenizer& tokenizer, const TokenScore& score);

}  // namespace qwen25

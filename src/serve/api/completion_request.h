// POST /v1/completions: the request.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "serve/api/prompt_input.h"
#include "serve/api/sampling_request.h"

namespace qwen25 {

struct CompletionRequest {
  std::string model;                  // "": the server's own
  std::vector<PromptInput> prompts;   // 1 to 2048; each is answered sampling.num_choices times
  std::optional<std::string> suffix;  // what follows the text to fill in; only with prompts that are texts
  int64_t max_tokens = 16;            // 0 and above: OpenAI's default is 16; 0 scores the prompt with `echo`
  bool echo = false;                  // the reply begins with the prompt
  std::optional<int64_t> logprobs;    // 0 to 20 alternatives for each token; absent: no log probabilities
  SamplingRequest sampling;
  OutputConstraint constraint;
  bool stream = false, include_usage = false;
  ServerOptions server;
  std::vector<std::string> ignored;  // members that were sent and have no effect here
};

// Reads a body that ParseRequestJson gave. An error names the field in `param`.
ApiResult<CompletionRequest> ReadCompletionRequest(const Json& body);

}  // namespace qwen25

#include "serve/api/completion_request.h"

#include <algorithm>

namespace qwen25 {
namespace {

void ReadSuffix(ObjectReader& body, CompletionRequest& out) {
  body.Read("suffix", out.suffix);
  if (!out.suffix.has_value()) return;
  if (out.echo) return body.Fail("suffix", "suffix does not go together with echo.");
  const auto is_text = [](const PromptInput& prompt) { return std::holds_alternative<std::string>(prompt); };
  if (!std::ranges::all_of(out.prompts, is_text)) {
    body.Fail("suffix", "suffix needs prompts that are texts, not token ids.");
  }
}

// OpenAI's best_of draws more answers than it returns; this server returns all that it draws.
void ReadBestOf(ObjectReader& body, int64_t num_choices) {
  std::optional<int64_t> best_of;
  body.Read("best_of", 1, 16, best_of);
  if (best_of.has_value() && best_of != num_choices) {
    body.Fail("best_of",
              fmt::format("best_of is {} and n is {}: this server returns every answer that it draws; leave "
                          "best_of out.",
                          *best_of, num_choices));
  }
}

}  // namespace

ApiResult<CompletionRequest> ReadCompletionRequest(const Json& json) {
  ErrorSlot error;
  ObjectReader body(json, "", error);
  CompletionRequest request;
  ReadModel(body, request.model);
  ReadPrompts(body, "prompt", /*may_be_empty=*/true, request.prompts);
  body.Read("echo", request.echo);
  ReadSuffix(body, request);
  body.Read("max_tokens", 0, INT32_MAX, request.max_tokens);
  body.Read("logprobs", 0, 20, request.logprobs);
  ReadSampling(body, request.sampling);
  ReadBestOf(body, request.sampling.num_choices);
  ReadConstraint(body, request.constraint);
  ReadStreaming(body, request.stream, &request.include_usage);
  ReadServerOptions(body, request.server);
  ReadIgnored(body, request.ignored);
  body.Finish();
  if (error.has_value()) return *error;
  return request;
}

}  // namespace qwen25

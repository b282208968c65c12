#include "serve/calls/infill_call.h"

#include <utility>
#include <vector>

#include "serve/api/infill_reply.h"
#include "serve/api/infill_request.h"
#include "serve/calls/infill_prompt.h"
#include "serve/calls/reply_listener.h"
#include "serve/calls/stream_settings.h"
#include "serve/calls/use_model.h"

namespace qwen25 {
namespace {

void AnswerWith(const std::shared_ptr<ServerCall>& call, const std::shared_ptr<ServedModel>& model,
                const InfillRequest& request) {
  const Tokenizer& tokenizer = model->model().tokenizer;
  Result<std::vector<int32_t>> prompt =
      InfillPrompt(tokenizer, request.context, request.prefix, request.suffix);
  if (!prompt.ok()) return call->Refuse(prompt.status(), "model");
  if (const auto error = CheckPromptFits(*prompt, *model, "input_prefix")) return call->Refuse(*error);
  const StreamSettings settings = {
      .sampling = request.sampling, .server = request.server, .max_tokens = request.max_tokens};
  ApiResult<StreamRequest> stream = MakeStream(*call, *model, settings, /*choice=*/0);
  if (!stream.ok()) return call->Refuse(stream.error());
  stream->prompt = std::move(*prompt);
  StopAfterInfill(tokenizer, *stream);
  std::vector<StreamRequest> streams;
  streams.push_back(std::move(*stream));
  StartReply(call, model, std::move(streams), std::make_unique<InfillReplyWriter>(model->name()),
             {.stream = request.stream});
}

}  // namespace

void AnswerInfill(std::shared_ptr<ServerCall> call, ModelRegistry& models) {
  AnswerWithModel(call, models, ReadInfillRequest, AnswerWith);
}

}  // namespace qwen25

#include "serve/calls/chat_call.h"

#include <ctime>

#include "serve/api/chat_reply.h"
#include "serve/api/chat_request.h"
#include "serve/api/identifier.h"
#include "serve/api/message_reply.h"
#include "serve/api/message_request.h"
#include "serve/api/response_reply.h"
#include "serve/api/response_request.h"
#include "serve/calls/chat_generation.h"
#include "serve/calls/use_model.h"

namespace qwen25 {
namespace {

ReplyHead NewHead(std::string_view prefix, const ServedModel& model) {
  return {.id = NewIdentifier(prefix), .created = std::time(nullptr), .model = model.name()};
}

}  // namespace

void AnswerChat(std::shared_ptr<ServerCall> call, ModelRegistry& models) {
  AnswerWithModel(call, models, ReadChatCompletionRequest,
                  [](const auto& own, const auto& model, const ChatCompletionRequest& request) {
                    GenerateChat(own, model, request, [&](size_t) {
                      return std::make_unique<ChatReplyWriter>(NewHead("chatcmpl-", *model),
                                                               request.include_usage);
                    });
                  });
}

void AnswerMessage(std::shared_ptr<ServerCall> call, ModelRegistry& models) {
  AnswerWithModel(call, models, ReadMessageRequest,
                  [](const auto& own, const auto& model, const ChatRequest& request) {
                    GenerateChat(own, model, request, [&](size_t num_prompt_tokens) {
                      return std::make_unique<MessageReplyWriter>(NewHead("msg_", *model), num_prompt_tokens);
                    });
                  });
}

void AnswerCountTokens(std::shared_ptr<ServerCall> call, ModelRegistry& models) {
  AnswerWithModel(call, models, ReadCountTokensRequest,
                  [](const auto& own, const auto& model, const ChatRequest& request) {
                    const ApiResult<std::vector<int32_t>> prompt = ChatPromptTokens(*own, *model, request);
                    if (!prompt.ok()) return own->Refuse(prompt.error());
                    own->Answer({{"input_tokens", prompt->size()}});
                  });
}

void AnswerResponse(std::shared_ptr<ServerCall> call, ModelRegistry& models) {
  AnswerWithModel(call, models, ReadResponseRequest,
                  [](const auto& own, const auto& model, const ResponseRequest& request) {
                    GenerateChat(own, model, request, [&](size_t) {
                      return std::make_unique<ResponseReplyWriter>(NewHead("resp_", *model), request.shown);
                    });
                  });
}

}  // namespace qwen25

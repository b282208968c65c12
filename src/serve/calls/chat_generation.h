// What the APIs for chats have in common: from a request that was read to answers that are written.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "serve/api/chat_request.h"
#include "serve/api/reply_writer.h"
#include "serve/calls/server_call.h"
#include "serve/models/served_model.h"

namespace qwen25 {

// The prompt of a chat. 400 if the model has no chat template, or one that refuses the conversation or knows
// no tools.
ApiResult<std::vector<int32_t>> ChatPromptTokens(ServerCall& call, const ServedModel& model,
                                                 const ChatRequest& request);

// Makes the writer of the reply, once the prompt is known.
using MakeReplyWriter = std::function<std::unique_ptr<ReplyWriter>(size_t num_prompt_tokens)>;

// Has the model answer, with what the memory adds to the conversation, and gives the answer to the client.
// Returns at once.
void GenerateChat(const std::shared_ptr<ServerCall>& call, const std::shared_ptr<ServedModel>& model,
                  ChatRequest request, const MakeReplyWriter& make_writer);

}  // namespace qwen25

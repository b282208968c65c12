// POST /v1/messages and POST /v1/messages/count_tokens: the requests.
#pragma once

#include "serve/api/chat_request.h"

namespace qwen25 {

// Reads a body of Anthropic's API. A last message of role assistant is one that the model goes on with. An
// error names the field in `param`, with this server's brackets: "messages[2].content[0].type".
ApiResult<ChatRequest> ReadMessageRequest(const Json& body);

// Reads what has tokens to count: the same members but those about the answer, which clients leave out.
ApiResult<ChatRequest> ReadCountTokensRequest(const Json& body);

}  // namespace qwen25

// POST /v1/responses: the request.
#pragma once

#include "serve/api/chat_request.h"

namespace qwen25 {

struct ResponseRequest : ChatRequest {
  Json shown;  // what the reply repeats: an object
};

// Reads a body of OpenAI's newer API. An error names the field in `param`: "input[2].call_id".
ApiResult<ResponseRequest> ReadResponseRequest(const Json& body);

}  // namespace qwen25

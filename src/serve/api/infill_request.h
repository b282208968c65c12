// POST /infill: the request.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "serve/api/sampling_request.h"

namespace qwen25 {

// A file, or a part of one, that the model is to know.
struct InfillContext {
  std::string file_name;  // may be ""
  std::string text;
};

struct InfillRequest {
  std::string model;  // "": the server's own
  std::string prefix, suffix;
  std::vector<InfillContext> context;
  std::optional<int64_t> max_tokens;  // none: until the model ends it
  SamplingRequest sampling;
  bool stream = false;
  ServerOptions server;
  std::vector<std::string> ignored;  // members that were sent and have no effect here
};

// Reads a body in the words of llama.cpp's server. An error names the field in `param`.
ApiResult<InfillRequest> ReadInfillRequest(const Json& body);

}  // namespace qwen25

// The body of a request as a JSON tree, with bounds on what it may cost to hold and to walk.
#pragma once

#include <cstddef>
#include <string_view>

#include "base/json.h"
#include "serve/api/api_error.h"

namespace qwen25 {

struct RequestBodyLimits {
  size_t bytes = size_t{32} << 20;  // of the body
  size_t depth = 64;                // open objects and arrays: what walks the tree recurses
  // Numbers, texts, objects and arrays together. A value takes 16 bytes or more, though "1," has two: prompts
  // as lists of ids are the longest that make sense.
  size_t values = 4'000'000;
  size_t members = 10'000;  // of one object: looking up a member walks all of them
};

// Parses a body that must be an object. Integers of any size are kept, as by ParsePythonJson. 413 for a body
// that is too large; 400 if it is not UTF-8, not JSON by the standard (NaN and a repeated key are not), holds
// a number beyond float64, or exceeds another limit. The message has the byte where reading stopped.
ApiResult<Json> ParseRequestJson(std::string_view body, const RequestBodyLimits& limits = {});

// The same for JSON inside of a string of a request, of any type. An error's param is `param`.
ApiResult<Json> ParseEmbeddedJson(std::string_view text, const std::string& param,
                                  const RequestBodyLimits& limits = {});

}  // namespace qwen25

// Framing of streams: text/event-stream, section 9.2 of the HTML standard.
#pragma once

#include <string>
#include <string_view>

#include "base/json.h"

namespace qwen25 {

// "data: {...}\n\n". JSON in one line holds no newline, so one line of data is enough.
std::string ServerSentEvent(const Json& data);
// "event: NAME\ndata: {...}\n\n". `name` must be one line.
std::string ServerSentEvent(std::string_view name, const Json& data);

// The end of a stream of OpenAI's API.
inline constexpr std::string_view kStreamEnd = "data: [DONE]\n\n";
// A comment, which clients skip: it keeps proxies from closing a stream while a long prompt is read.
inline constexpr std::string_view kStreamKeepAlive = ":\n\n";

}  // namespace qwen25

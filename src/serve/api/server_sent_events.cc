#include "serve/api/server_sent_events.h"

#include "base/check.h"

namespace qwen25 {

std::string ServerSentEvent(const Json& data) {
  return "data: " + DumpJson(data) + "\n\n";
}

std::string ServerSentEvent(std::string_view name, const Json& data) {
  QWEN25_CHECK(name.find_first_of("\r\n") == std::string_view::npos);
  return fmt::format("event: {}\n{}", name, ServerSentEvent(data));
}

}  // namespace qwen25

// What an API makes of the answers to a request: one reply, or the events of a stream.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "serve/api/api_error.h"
#include "serve/api/reply_parts.h"
#include "serve/api/server_sent_events.h"
#include "serve/api/token_logprobs.h"
#include "serve/api/tool_call_parser.h"

namespace qwen25 {

// One of the answers to a request.
struct ReplyChoice {
  AssistantMessage message;
  AnswerEnd end;
  std::optional<std::vector<TokenLogprob>> logprobs = std::nullopt;
};

// A writer serves one request. Either Whole is called, or the events of a stream are asked for: of each
// choice Begin, Next for its pieces and Finish, then End. All text that it gives is UTF-8, ill-formed parts
// repaired.
class ReplyWriter {
 public:
  virtual ~ReplyWriter() = default;

  // The reply as a whole. Choices are numbered in their order.
  virtual Json Whole(std::span<const ReplyChoice> choices, const TokenUsage& usage) = 0;

  // What is sent once the choice's prompt was read. The calls below send it if it is still missing, as it is
  // if a deadline ends the answer before that.
  virtual std::vector<Json> Begin(size_t choice) = 0;
  // `logprobs` are those of the tokens since the last call; if there is nothing that they could go with, they
  // go with what comes next.
  virtual std::vector<Json> Next(size_t choice, std::span<const AnswerPiece> pieces,
                                 std::span<const TokenLogprob> logprobs) = 0;
  virtual std::vector<Json> Finish(size_t choice, const AnswerEnd& end) = 0;
  // After the last choice.
  virtual std::vector<Json> End(const TokenUsage& usage) = 0;
  // Instead of End: an error after the stream's beginning.
  virtual std::vector<Json> Fail(const ApiError& error) { return {OpenAiErrorJson(error)}; }

  // The bytes of an event, and what stands after the last one of a stream that did not fail.
  virtual std::string Frame(const Json& event) const { return ServerSentEvent(event); }
  virtual std::string_view Closing() const { return {}; }
};

}  // namespace qwen25

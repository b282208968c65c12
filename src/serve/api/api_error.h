// What a client is told when its request fails, in the shapes of OpenAI's and Anthropic's APIs.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/json.h"
#include "base/status.h"

namespace qwen25 {

// Everything in it is sent to the client: no member may hold a path, a prompt or a secret.
struct ApiError {
  // 400 to 599. The clients of OpenAI repeat a request after 408, 409, 429 and 500 to 599, so that a fault of
  // the request itself must have another one.
  int status = 500;
  std::string type;   // "invalid_request_error"; see ErrorTypeOf
  std::string code;   // "model_not_found"; "" if there is none
  std::string param;  // the field at fault, "messages[2].content"; "" if it is none
  std::string message;
  std::optional<double> retry_after_seconds = std::nullopt;
};

// A value, or the error for the client. For readers of requests, which have to name the field.
template <typename T>
class [[nodiscard]] ApiResult {
 public:
  ApiResult(T value) : value_(std::move(value)) {}         // NOLINT: implicit, so that `return value;` works
  ApiResult(ApiError error) : error_(std::move(error)) {}  // NOLINT

  bool ok() const { return value_.has_value(); }
  const ApiError& error() const { return QWEN25_CHECK(!ok()), error_; }

  T& value() & { return QWEN25_CHECK(ok()), *value_; }
  const T& value() const& { return QWEN25_CHECK(ok()), *value_; }
  T&& value() && { return QWEN25_CHECK(ok()), std::move(*value_); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

 private:
  std::optional<T> value_;
  ApiError error_;
};

// OpenAI's word for a kind of error: of 401 "authentication_error", 403 "permission_error", 429
// "rate_limit_error", 503 "overloaded_error", any other from 500 on "server_error", else
// "invalid_request_error".
std::string_view ErrorTypeOf(int status);

// 400: `param` breaks the rule that the message states. "" for a request that is wrong as a whole.
ApiError InvalidRequest(std::string param, std::string message);
// 403: the key may not do what `param` asks for.
ApiError NotAllowed(std::string param, std::string message);
// 404 with OpenAI's code "model_not_found". `model` is what the client asked for.
ApiError UnknownModel(const std::string& model);
// 500. The text is the same for every failure but for `incident_id`, under which the log has the reason.
ApiError InternalFailure(std::string_view incident_id);

// How an error of the program is told to a client.
struct StatusMapping {
  // The message was written for clients: it names no file, prompt or secret. Otherwise, and always for kIo
  // and kCorrupt, whose messages name files, the client reads a neutral text with the incident's id.
  bool message_is_public = false;
  std::string incident_id;  // what the log calls this failure
  std::string param = {};
  // Of kResourceExhausted: a limit set for this client (429) rather than a server that is full (503).
  bool limit_is_the_clients = false;
  std::optional<double> retry_after_seconds = std::nullopt;  // of kResourceExhausted and kCancelled
};

// kInvalidArgument and kUnsupported give 400, kNotFound 404, kResourceExhausted 429 or 503, kCancelled 503
// (the server stopped the work; the same request may succeed later), all others 500. `status` must be an
// error.
ApiError ApiErrorOf(const Status& status, const StatusMapping& mapping);

// {"error": {"message", "type", "param", "code"}}; "param" and "code" are null if they are "".
Json OpenAiErrorJson(const ApiError& error);
// {"type": "error", "error": {"type", "message"}}, whose words for the type differ from OpenAI's. The message
// begins with the field, if there is one.
Json AnthropicErrorJson(const ApiError& error);

// Headers that tell clients whether and when to try again: "x-should-retry" for every error that OpenAI's
// clients would otherwise decide on by its status, "retry-after" (whole seconds, rounded up) and
// "retry-after-ms" if `retry_after_seconds` is set.
std::vector<std::pair<std::string, std::string>> RetryHeaders(const ApiError& error);

}  // namespace qwen25

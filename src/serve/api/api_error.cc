#include "serve/api/api_error.h"

#include <algorithm>
#include <cmath>

#include "text/utf8.h"

namespace qwen25 {
namespace {

constexpr int kBadRequest = 400, kForbidden = 403, kNotFoundStatus = 404, kTooManyRequests = 429,
              kServerFault = 500, kUnavailable = 503;

ApiError MakeError(int status, std::string code, std::string param, std::string message) {
  return {.status = status,
          .type = std::string(ErrorTypeOf(status)),
          .code = std::move(code),
          .param = std::move(param),
          .message = std::move(message)};
}

// Status and OpenAI's code.
std::pair<int, std::string> KindOf(StatusCode code, bool limit_is_the_clients) {
  switch (code) {
    case StatusCode::kInvalidArgument:
      return {kBadRequest, ""};
    case StatusCode::kUnsupported:
      return {kBadRequest, "unsupported"};
    case StatusCode::kNotFound:
      return {kNotFoundStatus, "not_found"};
    case StatusCode::kResourceExhausted:
      return limit_is_the_clients ? std::pair(kTooManyRequests, "rate_limit_exceeded")
                                  : std::pair(kUnavailable, "overloaded");
    case StatusCode::kCancelled:
      return {kUnavailable, "cancelled"};
    case StatusCode::kOk:
    case StatusCode::kCorrupt:
    case StatusCode::kIo:
      break;
  }
  return {kServerFault, "internal_error"};
}

std::string NeutralText(int status, std::string_view incident_id) {
  const std::string_view what =
      status == kBadRequest        ? "The request cannot be answered as it is."
      : status == kNotFoundStatus  ? "Something that the request names does not exist."
      : status == kTooManyRequests ? "This client has reached a limit of the server; try again later."
      : status == kUnavailable     ? "The server cannot answer the request now; try again later."
                                   : "The server failed to answer the request.";
  return fmt::format("{} The server's log has the reason under the id {}.", what, incident_id);
}

std::string_view AnthropicTypeOf(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case kNotFoundStatus:
      return "not_found_error";
    case 413:
      return "request_too_large";
    case kTooManyRequests:
      return "rate_limit_error";
    case kUnavailable:
      return "overloaded_error";
    default:
      return status >= kServerFault ? "api_error" : "invalid_request_error";
  }
}

Json TextOrNull(const std::string& text) {
  return text.empty() ? Json(nullptr) : Json(RepairUtf8(text));
}

}  // namespace

std::string_view ErrorTypeOf(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case kTooManyRequests:
      return "rate_limit_error";
    case kUnavailable:
      return "overloaded_error";
    default:
      return status >= kServerFault ? "server_error" : "invalid_request_error";
  }
}

ApiError InvalidRequest(std::string param, std::string message) {
  return MakeError(kBadRequest, "", std::move(param), std::move(message));
}

ApiError NotAllowed(std::string param, std::string message) {
  return MakeError(kForbidden, {}, std::move(param), std::move(message));
}

ApiError UnknownModel(const std::string& model) {
  return MakeError(kNotFoundStatus, "model_not_found", "model",
                   fmt::format("The model \"{}\" is not served here; GET /v1/models lists those that are.",
                               RepairUtf8(model)));
}

ApiError InternalFailure(std::string_view incident_id) {
  return MakeError(kServerFault, "internal_error", "", NeutralText(kServerFault, incident_id));
}

ApiError ApiErrorOf(const Status& status, const StatusMapping& mapping) {
  QWEN25_CHECK(!status.ok());
  auto [http_status, code] = KindOf(status.code(), mapping.limit_is_the_clients);
  const bool is_shown = mapping.message_is_public && http_status != kServerFault;
  ApiError error = MakeError(http_status, std::move(code), mapping.param,
                             is_shown ? status.message() : NeutralText(http_status, mapping.incident_id));
  if (http_status == kTooManyRequests || http_status == kUnavailable) {
    error.retry_after_seconds = mapping.retry_after_seconds;
  }
  return error;
}

Json OpenAiErrorJson(const ApiError& error) {
  return {{"error",
           {{"message", RepairUtf8(error.message)},
            {"type", error.type},
            {"param", TextOrNull(error.param)},
            {"code", TextOrNull(error.code)}}}};
}

Json AnthropicErrorJson(const ApiError& error) {
  // This shape has no place of its own for the field.
  const bool names_field = error.param.empty() || error.message.starts_with(error.param);
  const std::string message = names_field ? error.message : error.param + ": " + error.message;
  return {{"type", "error"},
          {"error", {{"type", AnthropicTypeOf(error.status)}, {"message", RepairUtf8(message)}}}};
}

std::vector<std::pair<std::string, std::string>> RetryHeaders(const ApiError& error) {
  std::vector<std::pair<std::string, std::string>> headers;
  const bool may_succeed_later = error.status == kTooManyRequests || error.status == kUnavailable;
  const bool is_repeated_by_default =
      error.status == 408 || error.status == 409 || may_succeed_later || error.status >= kServerFault;
  if (is_repeated_by_default) headers.emplace_back("x-should-retry", may_succeed_later ? "true" : "false");
  if (error.retry_after_seconds.has_value()) {
    const double seconds = std::max(0.0, *error.retry_after_seconds);
    headers.emplace_back("retry-after", fmt::format("{:.0f}", std::ceil(seconds)));
    headers.emplace_back("retry-after-ms", fmt::format("{:.0f}", std::ceil(seconds * 1000)));
  }
  return headers;
}

}  // namespace qwen25

#include "pretrained/hub/retry.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <thread>

#include "base/clock.h"
#include "base/json.h"

namespace qwen25 {
namespace {

constexpr double kFirstPause = 0.5;        // seconds
constexpr double kMaxServerPause = 300;    // of one answer 429
constexpr double kMaxServerPauses = 1800;  // of all
constexpr auto kTick = std::chrono::milliseconds(100);

// What the server says in its own words, if it does: {"error": "..."}, or a header.
std::string Explanation(const HttpResult& result) {
  std::string text = result.response.Header("x-error-message");
  if (text.empty()) {
    const Result<Json> json = ParseJson(result.body, "answer");
    if (json.ok() && json->is_object()) {
      const auto error = json->find("error");
      if (error != json->end() && error->is_string()) text = error->get<std::string>();
    }
  }
  constexpr size_t kMost = 300;
  text = text.substr(0, kMost);
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < ' ') c = ' ';  // nothing that a terminal would obey
  }
  return text.empty() ? "" : fmt::format(" ({})", text);
}

}  // namespace

bool Retry::Succeeded(const HttpResult& result) {
  return result.status.ok() && (result.response.status == 200 || result.response.status == 206);
}

Status Retry::Wait(double seconds, const std::string& reason) const {
  const double end = NowSeconds() + seconds;
  for (double left = seconds; left > 0; left = end - NowSeconds()) {
    if (on_wait_ && !on_wait_(fmt::format("{}; trying again in {:.0f} s", reason, std::ceil(left)))) {
      return Cancelled("stopped");
    }
    std::this_thread::sleep_for(
        std::min<std::chrono::duration<double>>(kTick, std::chrono::duration<double>(left)));
  }
  return {};
}

Status Retry::Next(const HttpResult& result) {
  const int status = result.response.status;
  if (!result.status.ok() && !result.may_pass) return result.status;
  if (result.status.ok() && status == 429) {
    const double seconds = result.response.retry_after.value_or(kFirstPause * std::pow(2.0, failures_++));
    waited_for_server_ += seconds;
    if (seconds > kMaxServerPause || waited_for_server_ > kMaxServerPauses || failures_ > max_failures_) {
      return ResourceExhausted(
          "{}: the hub limits how often it is asked (429) and wants {:.0f} s more; try again then{}", what_,
          seconds, has_token_ ? "" : ", or set HF_TOKEN, which raises the limit");
    }
    return Wait(seconds, "the hub asks for a pause (429)");
  }
  const bool server_failed = result.status.ok() && (status >= 500 || status == 408);
  if (result.status.ok() && !server_failed) return Final(result);
  if (++failures_ > max_failures_) {
    if (server_failed) return Final(result);
    return Status(
        StatusCode::kIo,
        fmt::format("{}: {}; is there a network? A proxy (https_proxy) or another hub (HF_ENDPOINT) "
                    "may be what is needed",
                    what_, result.status.message()));
  }
  const std::string reason =
      server_failed ? fmt::format("the hub answers {}", status) : result.status.message();
  return Wait(kFirstPause * std::pow(2.0, failures_ - 1), reason);
}

Status Retry::Final(const HttpResult& result) const {
  const int status = result.response.status;
  const std::string& code = result.response.Header("x-error-code");
  const std::string said = Explanation(result);
  if (code == "GatedRepo" || (status == 403 && code.empty())) {
    return InvalidArgument(
        "{}: access is not granted{}; {}, accept the model's terms on its page, and try again", what_, said,
        has_token_ ? "with the account of your token (HF_TOKEN or `hf auth login`)"
                   : "set HF_TOKEN to a token of your account (from the hub's settings, Access Tokens)");
  }
  if (code == "RevisionNotFound") return NotFound("{}: there is no such revision{}", what_, said);
  if (code == "EntryNotFound") return NotFound("{}: there is no such file{}", what_, said);
  if (status == 401 && has_token_ && code.empty()) {
    return InvalidArgument(
        "{}: the hub refuses the token of HF_TOKEN or of the token file{}; is it still valid?", what_, said);
  }
  if (status == 401 || status == 404 || code == "RepoNotFound") {
    return NotFound("{}: there is no such repository{}{}", what_, said,
                    has_token_ ? "; check the spelling, and that your token may read it"
                               : "; check the spelling. A private or gated one needs HF_TOKEN");
  }
  return Status(StatusCode::kIo, fmt::format("{}: the hub answers {}{}", what_, status, said));
}

}  // namespace qwen25

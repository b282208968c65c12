#include "serve/audit_log.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "base/json.h"

namespace qwen25 {
namespace {

// "2026-01-31T12:00:00.000Z"
std::string TimeNow() {
  const auto now = std::chrono::system_clock::now();
  const auto milliseconds =
      std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count();
  const std::time_t seconds = static_cast<std::time_t>(milliseconds / 1000);
  std::tm parts;
  gmtime_r(&seconds, &parts);
  char text[32];
  std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &parts);
  return fmt::format("{}.{:03}Z", text, milliseconds % 1000);
}

bool WriteAll(int descriptor, std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = ::write(descriptor, text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return false;
    text.remove_prefix(static_cast<size_t>(count));
  }
  return true;
}

}  // namespace

Result<std::unique_ptr<AuditLog>> AuditLog::Open(const std::filesystem::path& path) {
  auto log = std::unique_ptr<AuditLog>(new AuditLog(path));
  QWEN25_RETURN_IF_ERROR(log->Reopen());
  return log;
}

AuditLog::~AuditLog() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

Status AuditLog::Reopen() {
  if (path_.empty()) return {};
  const int descriptor = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (descriptor < 0) {
    return Status(StatusCode::kIo, fmt::format("{}: the log of requests cannot be opened: {}", path_.string(),
                                               std::strerror(errno)));
  }
  const std::lock_guard lock(mutex_);
  if (descriptor_ >= 0) ::close(descriptor_);
  descriptor_ = descriptor;
  has_failed_ = false;
  return {};
}

void AuditLog::Write(const AuditEntry& entry) {
  if (path_.empty()) {
    // What the server failed at must be found somewhere under the number that the client was told.
    if (entry.status >= 500 && !entry.reason.empty()) {
      fmt::print(stderr, "error: request {}: {}\n", entry.request_id, entry.reason);
    }
    return;
  }
  Json line = {{"time", TimeNow()},      {"id", entry.request_id},  {"key", entry.key_name},
               {"peer", entry.peer},     {"method", entry.method},  {"path", entry.path},
               {"status", entry.status}, {"seconds", entry.seconds}};
  if (!entry.model.empty()) line["model"] = entry.model;
  if (entry.prompt_tokens != 0 || entry.answer_tokens != 0) {
    line["prompt_tokens"] = entry.prompt_tokens;
    line["cached_tokens"] = entry.cached_tokens;
    line["answer_tokens"] = entry.answer_tokens;
  }
  if (!entry.reason.empty()) line["reason"] = entry.reason;
  const std::string text = DumpJson(line) + "\n";
  const std::lock_guard lock(mutex_);
  if (WriteAll(descriptor_, text) || has_failed_) return;
  has_failed_ = true;
  fmt::print(stderr, "note: {}: the log of requests cannot be written: {}\n", path_.string(),
             std::strerror(errno));
}

}  // namespace qwen25

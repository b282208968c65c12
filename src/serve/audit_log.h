// Who asked for what, and when: a line of JSON for each request, without what was said.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>

#include "base/status.h"

namespace qwen25 {

struct AuditEntry {
  std::string request_id, key_name, peer, method, path, model;
  int status = 0;
  uint64_t prompt_tokens = 0, cached_tokens = 0, answer_tokens = 0;
  double seconds = 0;
  std::string reason = {};  // why a request failed, for the operator: may name files
};

// Thread-safe. A line that cannot be written is reported once on standard error.
class AuditLog {
 public:
  // Appends to the file, which is created with mode 0600. "": only what the server failed at is written, to
  // standard error. kIo.
  static Result<std::unique_ptr<AuditLog>> Open(const std::filesystem::path& path);
  ~AuditLog();
  AuditLog(const AuditLog&) = delete;
  AuditLog& operator=(const AuditLog&) = delete;

  void Write(const AuditEntry& entry);
  // Opens the file again, after a program that rotates logs has renamed it. On an error the old one stays.
  Status Reopen();

 private:
  explicit AuditLog(std::filesystem::path path) : path_(std::move(path)) {}

  const std::filesystem::path path_;
  std::mutex mutex_;
  int descriptor_ = -1;
  bool has_failed_ = false;
};

}  // namespace qwen25

// Errors as values. Invalid input from outside (files, flags, requests, environment) gives a Status or
// Result<T>; a bug in the program aborts (check.h).
#pragma once

#include <fmt/format.h>

#include <optional>
#include <string>
#include <utility>

#include "base/check.h"

namespace qwen25 {

enum class StatusCode {
  kOk = 0,
  kInvalidArgument,    // the caller's input breaks a rule
  kNotFound,           // a named file, tensor or entry is not there
  kCorrupt,            // bytes that no correct writer can have written
  kIo,                 // the operating system refused
  kUnsupported,        // understood, but not supported by this program
  kResourceExhausted,  // disk, memory or a configured limit is full
  kCancelled,          // the user asked to stop
};

// An error and its reason. The message says what was wrong, where, what was expected and what to do.
class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(StatusCode code, std::string message) : code_(code), message_(std::move(message)) {}

  bool ok() const { return code_ == StatusCode::kOk; }
  StatusCode code() const { return code_; }
  const std::string& message() const { return message_; }

 private:
  StatusCode code_ = StatusCode::kOk;
  std::string message_;
};

template <typename... Args>
Status InvalidArgument(fmt::format_string<Args...> format, Args&&... args) {
  return {StatusCode::kInvalidArgument, fmt::format(format, std::forward<Args>(args)...)};
}
template <typename... Args>
Status NotFound(fmt::format_string<Args...> format, Args&&... args) {
  return {StatusCode::kNotFound, fmt::format(format, std::forward<Args>(args)...)};
}
template <typename... Args>
Status Corrupt(fmt::format_string<Args...> format, Args&&... args) {
  return {StatusCode::kCorrupt, fmt::format(format, std::forward<Args>(args)...)};
}
template <typename... Args>
Status Unsupported(fmt::format_string<Args...> format, Args&&... args) {
  return {StatusCode::kUnsupported, fmt::format(format, std::forward<Args>(args)...)};
}
template <typename... Args>
Status ResourceExhausted(fmt::format_string<Args...> format, Args&&... args) {
  return {StatusCode::kResourceExhausted, fmt::format(format, std::forward<Args>(args)...)};
}
template <typename... Args>
Status Cancelled(fmt::format_string<Args...> format, Args&&... args) {
  return {StatusCode::kCancelled, fmt::format(format, std::forward<Args>(args)...)};
}

// The Status of a system call that failed on `path`: kNotFound for ENOENT, kResourceExhausted for a full disk
// or quota and for a file that must not grow, else kIo. `action` is a verb phrase: "open", "write".
Status ErrnoStatus(int error_number, const std::string& action, const std::string& path);

// A value, or the error that explains why there is none.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}  // NOLINT: implicit, so that `return value;` works
  Result(Status status) : status_(std::move(status)) { QWEN25_CHECK(!status_.ok()); }  // NOLINT

  bool ok() const { return value_.has_value(); }
  const Status& status() const { return status_; }

  T& value() & { return QWEN25_CHECK(ok()), *value_; }
  const T& value() const& { return QWEN25_CHECK(ok()), *value_; }
  T&& value() && { return QWEN25_CHECK(ok()), std::move(*value_); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

 private:
  std::optional<T> value_;
  Status status_;
};

}  // namespace qwen25

// Evaluates `expression` (a Status) and returns it from the enclosing function if it is an error.
#define QWEN25_RETURN_IF_ERROR(expression)         \
  do {                                             \
    ::qwen25::Status qwen25_status = (expression); \
    if (!qwen25_status.ok()) return qwen25_status; \
  } while (false)

// QWEN25_TRY(const auto x, F()): x is the value of F(), or the enclosing function returns F()'s error.
#define QWEN25_TRY(declaration, expression) \
  QWEN25_TRY_IMPL(declaration, expression, QWEN25_JOIN(qwen25_result_, __LINE__))
#define QWEN25_TRY_IMPL(declaration, expression, result) \
  auto result = (expression);                            \
  if (!result.ok()) return result.status();              \
  declaration = std::move(result).value()
#define QWEN25_JOIN(a, b) QWEN25_JOIN_IMPL(a, b)
#define QWEN25_JOIN_IMPL(a, b) a##b

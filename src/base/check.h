// QWEN25_CHECK aborts with file and line. It is for bugs in this program only; input from outside gets a
// Status (status.h).
#pragma once

namespace qwen25 {

[[noreturn]] void CheckFailed(const char* expression, const char* file, int line);

}  // namespace qwen25

#define QWEN25_CHECK(condition) \
  ((condition) ? static_cast<void>(0) : ::qwen25::CheckFailed(#condition, __FILE__, __LINE__))

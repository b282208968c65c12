#pragma once

#include <chrono>

namespace qwen25 {

// Seconds on a clock that never jumps.
inline double NowSeconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace qwen25

// Ctrl-C as a question that loops can ask.
#pragma once

#include <atomic>

namespace qwen25 {

// While it lives, the first SIGINT or SIGTERM only sets requested(); a second SIGINT ends the program at
// once, for the case that nobody asks.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  static bool requested() { return flag(); }
  static const std::atomic<bool>& flag();
  // Ready for the next one: chat stops an answer and goes on.
  static void Reset();
};

}  // namespace qwen25

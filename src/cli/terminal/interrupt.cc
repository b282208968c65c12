#include "cli/terminal/interrupt.h"

#include <csignal>

namespace qwen25 {
namespace {

std::atomic<bool> interrupted{false};
static_assert(std::atomic<bool>::is_always_lock_free);  // the handler may set it
struct sigaction old_interrupt, old_terminate;

void OnSignal(int signal) {
  if (signal == SIGINT && interrupted) {
    ::sigaction(SIGINT, &old_interrupt, nullptr);
    ::raise(SIGINT);
  }
  interrupted = true;
}

}  // namespace

InterruptGuard::InterruptGuard() {
  interrupted = false;
  struct sigaction action {};
  action.sa_handler = OnSignal;
  ::sigaction(SIGINT, &action, &old_interrupt);
  ::sigaction(SIGTERM, &action, &old_terminate);
}

InterruptGuard::~InterruptGuard() {
  ::sigaction(SIGINT, &old_interrupt, nullptr);
  ::sigaction(SIGTERM, &old_terminate, nullptr);
}

const std::atomic<bool>& InterruptGuard::flag() {
  return interrupted;
}
void InterruptGuard::Reset() {
  interrupted = false;
}

}  // namespace qwen25

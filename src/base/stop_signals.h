// Keeps stop signals away from background threads.
#pragma once

#include <signal.h>

namespace qwen25 {

// While it lives, blocks these signals in the calling thread. Threads started meanwhile keep them blocked for
// good: the signals must interrupt the main thread, which waits for input.
class StopSignalsBlocked {
 public:
  StopSignalsBlocked() {
    sigset_t signals;
    ::sigemptyset(&signals);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGALRM}) ::sigaddset(&signals, signal);
    ::pthread_sigmask(SIG_BLOCK, &signals, &before_);
  }
  ~StopSignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  StopSignalsBlocked(const StopSignalsBlocked&) = delete;
  StopSignalsBlocked& operator=(const StopSignalsBlocked&) = delete;

 private:
  sigset_t before_;
};

}  // namespace qwen25

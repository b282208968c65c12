// Signals that ask a program to stop, and threads other than the main one.
#pragma once

#include <signal.h>

namespace qwen25 {

// Blocks these signals in the calling thread while it lives, and for good in the threads that are started
// meanwhile: such a signal must interrupt the main thread, which waits for input.
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

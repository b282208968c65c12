// Signals as a question that loops can ask.
#pragma once

#include <atomic>

namespace qwen25 {

// While one lives, SIGINT (Ctrl-C), SIGTERM and SIGHUP only set requested(), so that a verb stops where it
// can keep what it has. A second SIGINT ends the program at once, in case nobody asks. A program that was
// started to ignore SIGHUP (nohup) goes on ignoring it. Guards may be nested.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  static bool requested() { return flag(); }
  static const std::atomic<bool>& flag();
  // Whether the whole program is to end: SIGTERM, SIGHUP, or RequestEnd(). A read that waits for input is
  // interrupted then, again and again until it ends.
  static bool ending();
  // Forgets a Ctrl-C: a chat stops an answer and goes on. What ends the program stays.
  static void Reset();
  // The program is to end although no signal came: nobody reads its output any more.
  static void RequestEnd();
};

// For main, before everything else. Signals that end the program remove its temporary files first; a full
// disk quota of the shell (SIGXFSZ) and a closed pipe (SIGPIPE) become errors of the writes that hit them.
void InstallSignalHandlers();

// The last of SIGINT, SIGTERM and SIGHUP that a guard has seen; 0: none. Shells expect 128 + this as exit
// status.
int StopSignal();

}  // namespace qwen25

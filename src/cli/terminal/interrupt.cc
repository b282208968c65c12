#include "cli/terminal/interrupt.h"

#include <unistd.h>

#include <array>
#include <csignal>

#include "base/temporary_file.h"

namespace qwen25 {
namespace {

constexpr std::array kStopSignals = {SIGINT, SIGTERM, SIGHUP};

std::atomic<bool> interrupted{false}, end_requested{false};
std::atomic<int> stop_signal{0};
static_assert(std::atomic<bool>::is_always_lock_free &&
              std::atomic<int>::is_always_lock_free);  // for handlers

size_t num_guards = 0;
struct sigaction old_actions[kStopSignals.size()], old_alarm;

void EndBySignal(int signal) {
  RemoveTemporaryFilesInSignalHandler();
  ::signal(signal, SIG_DFL);
  ::raise(signal);
}

void OnStopSignal(int signal) {
  if (signal == SIGINT && interrupted) {
    EndBySignal(signal);
    return;
  }
  stop_signal = signal;
  if (signal != SIGINT) {
    end_requested = true;
    // This signal may have come just before a read began to wait, which would then not notice.
    ::alarm(1);
  }
  interrupted = true;
}

void OnAlarm(int) {
  if (end_requested) ::alarm(1);
}

void OnNothing(int) {}

}  // namespace

InterruptGuard::InterruptGuard() {
  if (num_guards++ > 0) return;
  interrupted = end_requested.load();
  struct sigaction action {};  // without SA_RESTART: a read that waits returns
  action.sa_handler = OnStopSignal;
  for (size_t i = 0; i < kStopSignals.size(); ++i) {
    ::sigaction(kStopSignals[i], &action, &old_actions[i]);
    if (kStopSignals[i] == SIGHUP && old_actions[i].sa_handler == SIG_IGN) {
      ::sigaction(SIGHUP, &old_actions[i], nullptr);
    }
  }
  action.sa_handler = OnAlarm;
  ::sigaction(SIGALRM, &action, &old_alarm);
}

InterruptGuard::~InterruptGuard() {
  if (--num_guards > 0) return;
  for (size_t i = 0; i < kStopSignals.size(); ++i) ::sigaction(kStopSignals[i], &old_actions[i], nullptr);
  ::alarm(0);
  ::sigaction(SIGALRM, &old_alarm, nullptr);
}

const std::atomic<bool>& InterruptGuard::flag() {
  return interrupted;
}

bool InterruptGuard::ending() {
  return end_requested;
}

void InterruptGuard::Reset() {
  interrupted = false;
  if (end_requested) interrupted = true;  // a signal that comes in between sets both
}

void InterruptGuard::RequestEnd() {
  end_requested = true;
  interrupted = true;
}

void InstallSignalHandlers() {
  struct sigaction action {
  }, old{};
  action.sa_handler = EndBySignal;
  for (const int signal : kStopSignals) {
    if (::sigaction(signal, nullptr, &old) == 0 && old.sa_handler == SIG_DFL) {
      ::sigaction(signal, &action, nullptr);
    }
  }
  // Not SIG_IGN, which programs that this one starts would inherit.
  action.sa_handler = OnNothing;
  action.sa_flags = SA_RESTART;
  for (const int signal : {SIGPIPE, SIGXFSZ}) ::sigaction(signal, &action, nullptr);
}

int StopSignal() {
  return stop_signal;
}

}  // namespace qwen25

#include "base/thread_pool.h"

#include <fmt/format.h>
#include <sched.h>

#include <charconv>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <system_error>
#include <utility>

#include "base/check.h"
#include "base/stop_signals.h"

namespace qwen25 {
namespace {

// How long an idle thread spins before it sleeps in the kernel. A transformer step starts a loop every few
// microseconds to a millisecond, and waking from a futex costs about 50 us, so spinning across the gaps of a
// step pays; between requests the thread must not burn the core.
constexpr auto kSpinTime = std::chrono::microseconds(200);

inline void CpuRelax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Waits until `value` differs from `old`.
void WaitForChange(const std::atomic<uint32_t>& value, uint32_t old) {
  const auto deadline = std::chrono::steady_clock::now() + kSpinTime;
  while (value.load(std::memory_order_acquire) == old) {
    for (int i = 0; i < 64; ++i) {
      CpuRelax();
      if (value.load(std::memory_order_acquire) != old) return;
    }
    std::this_thread::yield();  // with more threads than cores, the one we wait for may need this core
    if (std::chrono::steady_clock::now() > deadline) {
      value.wait(old, std::memory_order_acquire);
      return;
    }
  }
}

}  // namespace

struct ThreadPool::Frame {
  const ThreadPool* pool;
  size_t thread;       // of the pool
  const Frame* outer;  // the loop whose task started this one
  bool other_thread;   // `outer` is a frame of the thread that started the loop, not of this one
};

thread_local const ThreadPool::Frame* ThreadPool::frame_ = nullptr;

ThreadPool::ThreadPool(size_t num_threads) {
  QWEN25_CHECK(num_threads >= 1);
  workers_.reserve(num_threads - 1);
  const StopSignalsBlocked blocked;
  try {
    for (size_t thread = 1; thread < num_threads; ++thread)
      workers_.emplace_back([this, thread] { Work(thread); });
  } catch (const std::system_error& error) {
    const size_t started = workers_.size() + 1;
    Stop();
    throw std::system_error(error.code(),
                            fmt::format("only {} of {} threads could be started", started, num_threads));
  } catch (...) {
    Stop();
    throw;
  }
}

ThreadPool::~ThreadPool() {
  Stop();
}

void ThreadPool::Stop() {
  stop_ = true;
  epoch_.fetch_add(1, std::memory_order_release);
  epoch_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::Run(size_t num_tasks, void* callable, Trampoline trampoline) {
  if (num_tasks == 0) return;
  bool this_thread = true;
  for (const Frame* frame = frame_; frame != nullptr; frame = frame->outer) {
    if (frame->pool == this) {
      QWEN25_CHECK(this_thread);  // several threads of the inner pool would have one number in this one
      for (size_t task = 0; task < num_tasks; ++task) trampoline(callable, task, frame->thread);
      return;
    }
    if (frame->other_thread) this_thread = false;
  }
  const std::lock_guard lock(running_);
  const bool alone = workers_.empty() || num_tasks == 1;
  const Frame frame = {this, 0, frame_, false};
  callable_ = callable;
  trampoline_ = trampoline;
  num_tasks_ = num_tasks;
  caller_ = &frame;
  next_task_.store(0, std::memory_order_relaxed);
  if (!alone) {
    num_busy_.store(static_cast<uint32_t>(workers_.size()), std::memory_order_relaxed);
    epoch_.fetch_add(1, std::memory_order_release);
    epoch_.notify_all();
  }
  Drain(frame);
  uint32_t busy;
  while ((busy = num_busy_.load(std::memory_order_acquire)) != 0) WaitForChange(num_busy_, busy);
  if (failed_.exchange(false)) std::rethrow_exception(std::exchange(error_, nullptr));
}

void ThreadPool::Drain(const Frame& frame) {
  const Frame* const before = std::exchange(frame_, &frame);
  try {
    for (size_t task; (task = next_task_.fetch_add(1, std::memory_order_relaxed)) < num_tasks_;) {
      trampoline_(callable_, task, frame.thread);
    }
  } catch (...) {
    if (!failed_.exchange(true)) error_ = std::current_exception();
    next_task_.store(num_tasks_, std::memory_order_relaxed);
  }
  frame_ = before;
}

void ThreadPool::Work(size_t thread) {
  for (uint32_t seen = 0;; ++seen) {
    WaitForChange(epoch_, seen);
    if (stop_) return;
    Drain({this, thread, caller_, true});
    if (num_busy_.fetch_sub(1, std::memory_order_acq_rel) == 1) num_busy_.notify_one();
  }
}

size_t DefaultNumThreads() {
  if (const char* text = std::getenv("QWEN25_NUM_THREADS")) {
    size_t count = 0;
    const auto [end, error] = std::from_chars(text, text + std::strlen(text), count);
    if (error == std::errc() && *end == '\0' && count >= 1 && count <= kMaxThreads) return count;
  }
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof set, &set) == 0) return static_cast<size_t>(CPU_COUNT(&set));
  return 1;
}

}  // namespace qwen25

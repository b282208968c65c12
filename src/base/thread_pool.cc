#include "base/thread_pool.h"

#include <sched.h>

#include <charconv>
#include <chrono>
#include <cstdlib>
#include <cstring>

#include "base/check.h"

namespace qwen25 {
namespace {

// How long an idle thread spins before it sleeps in the kernel. A transformer step starts a loop every few
// microseconds to a millisecond, and waking from a futex costs about 50 us, so spinning across the gaps of a
// step pays; between requests the thread must not burn the core.
constexpr auto kSpinTime = std::chrono::microseconds(200);

thread_local bool inside_task = false;
thread_local size_t current_thread = 0;  // a nested loop keeps its thread's scratch memory

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

ThreadPool::ThreadPool(size_t num_threads) {
  QWEN25_CHECK(num_threads >= 1);
  workers_.reserve(num_threads - 1);
  for (size_t thread = 1; thread < num_threads; ++thread)
    workers_.emplace_back([this, thread] { Work(thread); });
}

ThreadPool::~ThreadPool() {
  stop_ = true;
  epoch_.fetch_add(1, std::memory_order_release);
  epoch_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::Run(size_t num_tasks, void* callable, Trampoline trampoline) {
  if (num_tasks == 0) return;
  if (workers_.empty() || num_tasks == 1 || inside_task) {
    for (size_t task = 0; task < num_tasks; ++task) trampoline(callable, task, current_thread);
    return;
  }
  callable_ = callable;
  trampoline_ = trampoline;
  num_tasks_ = num_tasks;
  next_task_.store(0, std::memory_order_relaxed);
  num_busy_.store(static_cast<uint32_t>(workers_.size()), std::memory_order_relaxed);
  epoch_.fetch_add(1, std::memory_order_release);
  epoch_.notify_all();
  Drain(0);
  uint32_t busy;
  while ((busy = num_busy_.load(std::memory_order_acquire)) != 0) WaitForChange(num_busy_, busy);
}

void ThreadPool::Drain(size_t thread) {
  inside_task = true;
  for (size_t task; (task = next_task_.fetch_add(1, std::memory_order_relaxed)) < num_tasks_;) {
    trampoline_(callable_, task, thread);
  }
  inside_task = false;
}

void ThreadPool::Work(size_t thread) {
  current_thread = thread;
  for (uint32_t seen = 0;; ++seen) {
    WaitForChange(epoch_, seen);
    if (stop_) return;
    Drain(thread);
    if (num_busy_.fetch_sub(1, std::memory_order_acq_rel) == 1) num_busy_.notify_one();
  }
}

size_t DefaultNumThreads() {
  if (const char* text = std::getenv("QWEN25_NUM_THREADS")) {
    size_t count = 0;
    const auto [end, error] = std::from_chars(text, text + std::strlen(text), count);
    if (error == std::errc() && *end == '\0' && count >= 1 && count <= 1024) return count;
  }
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof set, &set) == 0) return static_cast<size_t>(CPU_COUNT(&set));
  return 1;
}

}  // namespace qwen25

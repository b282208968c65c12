// One set of worker threads for the whole program (DESIGN §2.13): two pools that spin on the same cores cost
// more than either saves.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <thread>
#include <type_traits>
#include <vector>

namespace qwen25 {

// Runs loops over independent tasks. Which thread runs which task is not fixed, so a task must not depend on
// it: results are the same for any number of threads. No allocation after construction. One loop at a time;
// a loop started from inside a task runs on that task's thread alone.
class ThreadPool {
 public:
  // `num_threads` >= 1 counts the calling thread: ThreadPool(1) starts none.
  explicit ThreadPool(size_t num_threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  size_t num_threads() const { return workers_.size() + 1; }

  // Calls function(task, thread) for every task in [0, num_tasks), thread in [0, num_threads()), and returns
  // when all are done. `thread` is for scratch memory. Tasks start in ascending order.
  template <typename Function>
  void ParallelFor(size_t num_tasks, Function&& function) {
    using Callable = std::remove_reference_t<Function>;
    Run(num_tasks, const_cast<void*>(static_cast<const void*>(&function)),
        [](void* callable, size_t task, size_t thread) {
          (*static_cast<Callable*>(callable))(task, thread);
        });
  }

 private:
  using Trampoline = void (*)(void* callable, size_t task, size_t thread);

  void Run(size_t num_tasks, void* callable, Trampoline trampoline);
  void Work(size_t thread);
  void Drain(size_t thread);

  // The loop that is running. Written by Run() before `epoch_` moves on, read by workers after they saw it
  // move.
  void* callable_ = nullptr;
  Trampoline trampoline_ = nullptr;
  size_t num_tasks_ = 0;
  bool stop_ = false;

  alignas(64) std::atomic<size_t> next_task_{0};
  alignas(64) std::atomic<uint32_t> epoch_{0};
  alignas(64) std::atomic<uint32_t> num_busy_{0};

  std::vector<std::thread> workers_;
};

// As many threads as this process may use (its CPU affinity), or QWEN25_NUM_THREADS where that is set.
size_t DefaultNumThreads();

}  // namespace qwen25

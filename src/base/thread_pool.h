// One set of worker threads for the whole program: two pools that spin on the same cores cost more than they
// save.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

namespace qwen25 {

// Runs loops over independent tasks. Any thread may run any task, and results must not depend on it, so that
// they are the same for any number of threads. No allocation after construction.
//
// A loop started by a task of the same pool runs on that task's thread alone. A loop started by a task of
// another pool runs on all threads of its own pool, numbered from 0. If several threads start loops of one
// pool at the same time, the loops run one after another. Pools nest in one order only: if a task of pool A
// runs a loop of pool B, tasks of that loop must not start loops of A.
class ThreadPool {
 public:
  // `num_threads` >= 1 counts the calling thread: ThreadPool(1) starts none. Throws std::system_error if the
  // system refuses a thread (main turns it into a message).
  explicit ThreadPool(size_t num_threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  size_t num_threads() const { return workers_.size() + 1; }

  // Calls function(task, thread) for every task in [0, num_tasks), with thread in [0, num_threads()), and
  // returns when all are done. `thread` selects scratch memory: tasks that run at the same time have
  // different ones. Tasks start in ascending order. An exception of a task (std::bad_alloc) is rethrown here;
  // tasks not yet started are skipped.
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
  struct Frame;  // a thread's place in a loop of some pool

  void Run(size_t num_tasks, void* callable, Trampoline trampoline);
  void Work(size_t thread);
  void Drain(const Frame& frame);
  void Stop();

  static thread_local const Frame* frame_;  // the innermost one of this thread; null outside of loops

  std::mutex running_;  // held while a loop runs

  // The running loop. Run() writes it before it advances `epoch_`; workers read it after they have seen that.
  void* callable_ = nullptr;
  Trampoline trampoline_ = nullptr;
  size_t num_tasks_ = 0;
  const Frame* caller_ = nullptr;
  bool stop_ = false;

  std::atomic<bool> failed_{false};
  std::exception_ptr error_;  // written by the thread that set failed_

  alignas(64) std::atomic<size_t> next_task_{0};
  alignas(64) std::atomic<uint32_t> epoch_{0};
  alignas(64) std::atomic<uint32_t> num_busy_{0};

  std::vector<std::thread> workers_;
};

// A greater number of threads is a typing error.
inline constexpr size_t kMaxThreads = 1024;

// QWEN25_NUM_THREADS if that is a number from 1 to kMaxThreads, else the number of CPUs that this process may
// use (its affinity).
size_t DefaultNumThreads();

}  // namespace qwen25

// Threads for work that takes too long for a network thread.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace qwen25 {

// Calls tasks in the order in which they came, on a fixed number of threads. Tasks must not throw.
class WorkQueue {
 public:
  explicit WorkQueue(size_t num_threads);
  // Waits for the tasks that run, and for those that wait.
  ~WorkQueue();
  WorkQueue(const WorkQueue&) = delete;
  WorkQueue& operator=(const WorkQueue&) = delete;

  void Add(std::function<void()> task);

 private:
  void Work();

  std::mutex mutex_;
  std::condition_variable added_;
  std::deque<std::function<void()>> tasks_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace qwen25

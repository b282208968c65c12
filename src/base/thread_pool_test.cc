#include "base/thread_pool.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <new>
#include <system_error>
#include <vector>

namespace qwen25 {
namespace {

TEST(ThreadPoolTest, RunsEveryTaskOnceForAnyNumberOfThreads) {
  for (size_t num_threads : {1, 2, 3, 8}) {
    ThreadPool pool(num_threads);
    for (size_t num_tasks : {0, 1, 2, 7, 1000}) {
      std::vector<std::atomic<int>> counts(num_tasks);
      pool.ParallelFor(num_tasks, [&](size_t task, size_t thread) {
        EXPECT_LT(thread, num_threads);
        counts[task].fetch_add(1);
      });
      for (const auto& count : counts) EXPECT_EQ(count.load(), 1);
    }
  }
}

TEST(ThreadPoolTest, ANestedLoopStaysOnItsThread) {
  ThreadPool pool(4);
  pool.ParallelFor(16, [&](size_t, size_t outer_thread) {
    pool.ParallelFor(5, [&](size_t, size_t inner_thread) { EXPECT_EQ(inner_thread, outer_thread); });
  });
}

TEST(ThreadPoolTest, ManyShortLoops) {
  ThreadPool pool(3);
  std::atomic<size_t> sum{0};
  for (int i = 0; i < 20000; ++i) pool.ParallelFor(3, [&](size_t task, size_t) { sum.fetch_add(task); });
  EXPECT_EQ(sum.load(), 20000u * 3);
}

// Counts tasks per thread number at the same time: scratch memory of a thread must have one user.
class Scratches {
 public:
  explicit Scratches(size_t num_threads) : users_(num_threads) {}
  void Use(size_t thread) {
    ASSERT_LT(thread, users_.size());
    EXPECT_EQ(users_[thread].fetch_add(1), 0) << "two tasks use the scratch memory of thread " << thread;
    for (int i = 0; i < 200; ++i) work_.fetch_add(1, std::memory_order_relaxed);
    users_[thread].fetch_sub(1);
  }

 private:
  std::vector<std::atomic<int>> users_;
  std::atomic<size_t> work_{0};
};

TEST(ThreadPoolTest, APoolInsideATaskOfAnotherPoolHasItsOwnThreadNumbers) {
  for (const size_t num_inner : {1, 2, 3}) {
    ThreadPool outer(8), inner(num_inner);
    Scratches scratches(num_inner);
    std::atomic<size_t> sum{0};
    outer.ParallelFor(64, [&](size_t, size_t) {
      for (const size_t num_tasks : {1, 7}) {
        inner.ParallelFor(num_tasks, [&](size_t, size_t thread) {
          scratches.Use(thread);
          inner.ParallelFor(3, [&](size_t, size_t nested) {
            EXPECT_EQ(nested, thread);
            sum.fetch_add(1);
          });
        });
      }
    });
    EXPECT_EQ(sum.load(), 64u * 8 * 3);
    // Afterwards, every thread is outside of all loops again.
    outer.ParallelFor(1, [&](size_t, size_t thread) { EXPECT_EQ(thread, 0u); });
    inner.ParallelFor(1, [&](size_t, size_t thread) { EXPECT_EQ(thread, 0u); });
  }
}

TEST(ThreadPoolTest, EachTaskOfAPoolMayHaveAPoolOfItsOwn) {
  ThreadPool outer(4);
  std::vector<size_t> sums(4, 0);
  outer.ParallelFor(4, [&](size_t task, size_t) {
    ThreadPool inner(1 + task);
    Scratches scratches(inner.num_threads());
    std::atomic<size_t> sum{0};
    for (int i = 0; i < 100; ++i) {
      inner.ParallelFor(10, [&](size_t number, size_t thread) {
        scratches.Use(thread);
        sum.fetch_add(number);
      });
    }
    sums[task] = sum;
  });
  EXPECT_EQ(sums, std::vector<size_t>(4, 4500));
}

TEST(ThreadPoolTest, LoopsOfSeveralThreadsRunOneAfterTheOther) {
  ThreadPool pool(3);
  Scratches scratches(3);
  std::vector<std::thread> threads;
  std::atomic<size_t> sum{0};
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int loop = 0; loop < 100; ++loop) {
        pool.ParallelFor(5, [&](size_t, size_t thread) {
          scratches.Use(thread);
          sum.fetch_add(1);
        });
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(sum.load(), 2000u);
}

TEST(ThreadPoolDeathTest, PoolsNestInOneOrder) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto circle = [] {
    ThreadPool first(2), second(2);
    first.ParallelFor(2, [&](size_t, size_t) {
      std::atomic<int> arrived{0};
      second.ParallelFor(2, [&](size_t, size_t) {
        arrived.fetch_add(1);
        while (arrived.load() < 2) std::this_thread::yield();  // both threads of `second` are here
        first.ParallelFor(2, [](size_t, size_t) {});
      });
    });
  };
  // On the thread that started both loops this is a nested loop; on the other one it would share a number.
  EXPECT_DEATH(circle(), "internal error");
}

TEST(ThreadPoolTest, WhatATaskThrowsReachesTheCaller) {
  for (const size_t num_threads : {1, 4}) {
    ThreadPool pool(num_threads);
    std::atomic<size_t> ran{0};
    const auto loop = [&] {
      pool.ParallelFor(100000, [&](size_t task, size_t) {
        ran.fetch_add(1);
        if (task >= 10) throw std::bad_alloc();
      });
    };
    EXPECT_THROW(loop(), std::bad_alloc);
    EXPECT_LT(ran.load(), 100000u);
    ran = 0;
    pool.ParallelFor(50, [&](size_t, size_t) { ran.fetch_add(1); });
    EXPECT_EQ(ran.load(), 50u);
  }
}

TEST(ThreadPoolTest, ThreadsThatTheSystemRefusesAreAnError) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "SKIPPED: sanitizers need terabytes of address space";
#endif
  // In a process of its own, whose address space has no room for the stacks of so many threads.
  const pid_t child = ::fork();
  if (child == 0) {
    const struct rlimit limit = {size_t{256} << 20, size_t{256} << 20};
    ::setrlimit(RLIMIT_AS, &limit);
    try {
      ThreadPool pool(1000);
    } catch (const std::system_error& error) {
      ::_exit(std::strstr(error.what(), "of 1000 threads could be started") != nullptr ? 0 : 1);
    } catch (const std::bad_alloc&) {
      ::_exit(0);
    }
    ::_exit(2);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace qwen25

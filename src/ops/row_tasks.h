// How ops share rows among threads.
#pragma once

#include <algorithm>
#include <cstddef>

#include "base/thread_pool.h"

namespace qwen25 {

// Rows per task of a row kernel: enough work to outweigh handing it out, few enough that all threads get
// some.
inline constexpr size_t kRowsPerTask = 32;

constexpr size_t NumRowTasks(size_t num_rows) {
  return (num_rows + kRowsPerTask - 1) / kRowsPerTask;
}

// Calls function(begin, end, thread) over [0, num_rows) in tasks of kRowsPerTask rows.
template <typename Function>
void ForRows(ThreadPool& threads, size_t num_rows, const Function& function) {
  threads.ParallelFor(NumRowTasks(num_rows), [&](size_t task, size_t thread) {
    const size_t begin = task * kRowsPerTask;
    function(begin, std::min(num_rows, begin + kRowsPerTask), thread);
  });
}

// Calls function(begin, end) over columns [0, num_cols) in tasks of 64 columns: sums over rows then have one
// fixed order.
template <typename Function>
void ForColumns(ThreadPool& threads, size_t num_cols, const Function& function) {
  constexpr size_t kColsPerTask = 64;
  threads.ParallelFor((num_cols + kColsPerTask - 1) / kColsPerTask, [&](size_t task, size_t) {
    const size_t begin = task * kColsPerTask;
    function(begin, std::min(num_cols, begin + kColsPerTask));
  });
}

}  // namespace qwen25

// Numbers on the command line: what the parser would bend is refused.
#pragma once

#include <CLI/CLI.hpp>

#include "base/thread_pool.h"

namespace qwen25 {

// For --threads. 0: as many as this process may use.
inline const CLI::Range kThreadCount(size_t{0}, kMaxThreads);

// Checks every numeric option of `app` and of the verbs below it. Whole numbers are from 0 up: the
// parser would make 18446744073709551615 of "-1", and eight of "010". Numbers with fractions must be finite.
// To be called when all options are there.
void CheckNumbers(CLI::App& app);

}  // namespace qwen25

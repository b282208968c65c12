// Standard output and standard error whose write errors are reported once, at the end, and do not end the
// program before.
#pragma once

#include <sys/types.h>

#include <cerrno>
#include <cstdio>

#include "base/status.h"

namespace qwen25 {

// Opens /dev/null for each standard descriptor that is closed. Otherwise the next opened file would become
// standard output, and printed text would be written into it. Call it before any file is opened.
void KeepStandardDescriptorsOpen();

// While it lives, `stdout` and `stderr` are its own streams, which never report an error to their writers and
// drop what cannot be written. Errors of standard error are ignored; the first one of standard output is kept
// for Finish(). Only one object at a time.
class StandardStreams {
 public:
  struct Hooks {
    // Called once when standard output has failed, since nobody will see further output.
    void (*on_failure)() = [] {};
    // Whether the program was requested to end. Blocked output is then waited for at most a second.
    bool (*ending)() = [] { return false; };
  };
  explicit StandardStreams(const Hooks& hooks);
  ~StandardStreams();
  StandardStreams(const StandardStreams&) = delete;
  StandardStreams& operator=(const StandardStreams&) = delete;

  // Writes the rest of the buffer and closes standard output (some file systems report errors only then).
  // Returns the first error since construction, if there was one.
  Status Finish();
  // Whether that error is a reader that has gone (`qwen25 ... | head`), which need not be reported.
  bool reader_has_gone() const { return error_ == EPIPE; }

 private:
  static ssize_t WriteOutput(void* self, const char* data, size_t size);
  static ssize_t WriteError(void* self, const char* data, size_t size);
  void Fail(int error_number);

  const Hooks hooks_;
  std::FILE *const old_output_, *const old_error_;
  std::FILE *output_ = nullptr, *error_output_ = nullptr;
  int error_ = 0;  // errno of the first failed write; 0: none
};

}  // namespace qwen25

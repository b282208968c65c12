// Standard output and standard error whose failures are noticed once, at the end, and do not end anything in
// between.
#pragma once

#include <sys/types.h>

#include <cerrno>
#include <cstdio>

#include "base/status.h"

namespace qwen25 {

// Opens /dev/null in the place of standard descriptors that are closed. Otherwise the next file that is
// opened becomes standard output, and what is printed is written into it. To be called before anything is
// opened.
void KeepStandardDescriptorsOpen();

// While it lives, `stdout` and `stderr` are streams of its own, which never report a failure to their
// writers: what does not arrive is dropped. A failure of standard error is forgotten; the first one of
// standard output is kept for Finish(). One at a time.
class StandardStreams {
 public:
  struct Hooks {
    // Called once, when standard output has failed: nobody will see the rest of the work.
    void (*on_failure)() = [] {};
    // Whether the program has been requested to end: output that nobody takes then is waited for no longer
    // than a second.
    bool (*ending)() = [] { return false; };
  };
  explicit StandardStreams(const Hooks& hooks);
  ~StandardStreams();
  StandardStreams(const StandardStreams&) = delete;
  StandardStreams& operator=(const StandardStreams&) = delete;

  // Writes what is still in the buffer, and closes standard output, since some file systems tell only then.
  // The first failure since the beginning, if there was one.
  Status Finish();
  // Whether that failure is a reader that has gone (`qwen25 ... | head`), which is not an error to speak of.
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

#include "base/standard_output.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <utility>

#include "base/clock.h"

namespace qwen25 {
namespace {

constexpr double kPatienceSeconds = 1;  // with readers, once the program is to end

// Writes all of it. Returns 0, or errno of the write that failed.
int WriteFully(int descriptor, const char* data, size_t size, bool (*ending)()) {
  double give_up = 0;  // 0: there is no hurry
  while (size > 0) {
    const ssize_t count = ::write(descriptor, data, size);
    if (count >= 0) {
      data += count;
      size -= static_cast<size_t>(count);
      continue;
    }
    if (errno != EINTR && errno != EAGAIN) return errno;
    // A signal while nobody reads, or somebody has made the descriptor non-blocking.
    if (ending()) {
      const double now = NowSeconds();
      if (give_up == 0) give_up = now + kPatienceSeconds;
      if (now >= give_up) return EINTR;
    }
    struct pollfd writable = {.fd = descriptor, .events = POLLOUT, .revents = 0};
    ::poll(&writable, 1, 100);
  }
  return 0;
}

}  // namespace

void KeepStandardDescriptorsOpen() {
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(descriptor, F_GETFD) >= 0) continue;
    // Opened the wrong way round: using a closed stream remains an error. The lowest free number is taken.
    const int opened = ::open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY);
    if (opened > STDERR_FILENO) ::close(opened);
  }
}

StandardStreams::StandardStreams(const Hooks& hooks)
    : hooks_(hooks), old_output_(stdout), old_error_(stderr) {
  cookie_io_functions_t functions = {};
  functions.write = &StandardStreams::WriteOutput;
  output_ = ::fopencookie(this, "w", functions);
  functions.write = &StandardStreams::WriteError;
  error_output_ = ::fopencookie(this, "w", functions);
  if (output_ != nullptr) {
    std::setvbuf(output_, nullptr, ::isatty(STDOUT_FILENO) == 1 ? _IOLBF : _IOFBF, BUFSIZ);
    stdout = output_;
  }
  if (error_output_ != nullptr) {
    std::setvbuf(error_output_, nullptr, _IONBF, 0);
    stderr = error_output_;
  }
}

StandardStreams::~StandardStreams() {
  stdout = old_output_;
  stderr = old_error_;
  if (output_ != nullptr) std::fclose(output_);
  if (error_output_ != nullptr) std::fclose(error_output_);
}

void StandardStreams::Fail(int error_number) {
  if (std::exchange(error_, error_number) == 0) hooks_.on_failure();
}

ssize_t StandardStreams::WriteOutput(void* self, const char* data, size_t size) {
  auto& streams = *static_cast<StandardStreams*>(self);
  if (streams.error_ == 0) {
    const int error = WriteFully(STDOUT_FILENO, data, size, streams.hooks_.ending);
    if (error != 0) streams.Fail(error);
  }
  return static_cast<ssize_t>(size);
}

ssize_t StandardStreams::WriteError(void* self, const char* data, size_t size) {
  (void)WriteFully(STDERR_FILENO, data, size, static_cast<StandardStreams*>(self)->hooks_.ending);
  return static_cast<ssize_t>(size);
}

Status StandardStreams::Finish() {
  std::fflush(stdout);
  // A copy is closed: network file systems tell of a full disk then, and the number must not become free.
  if (error_ == 0) {
    const int copy = ::dup(STDOUT_FILENO);
    if (copy >= 0 && ::close(copy) != 0) Fail(errno);
  }
  return error_ == 0 ? Status() : ErrnoStatus(error_, "write", "standard output");
}

}  // namespace qwen25

#include "base/standard_output.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <string>

#include "base/file.h"
#include "base/test_util.h"

namespace qwen25 {
namespace {

// Runs `work` in a process of its own, whose standard output is `output`. Its exit status.
int InProcess(int output, const std::function<int()>& work) {
  const pid_t child = ::fork();
  if (child == 0) {
    output < 0 ? ::close(STDOUT_FILENO) : ::dup2(output, STDOUT_FILENO);
    ::signal(SIGPIPE, SIG_IGN);
    ::alarm(20);
    ::_exit(work());
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

TEST(StandardOutputTest, AllThatIsPrintedArrives) {
  TemporaryDirectory directory;
  const int file = ::open((directory / "out").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  EXPECT_EQ(InProcess(file,
                      [] {
                        StandardStreams streams({});
                        for (int i = 0; i < 10000; ++i) fmt::print("{}\n", i);
                        return streams.Finish().ok() ? 0 : 1;
                      }),
            0);
  ::close(file);
  const std::string text = *ReadFile(directory / "out");
  EXPECT_TRUE(text.starts_with("0\n1\n")) << text.substr(0, 20);
  EXPECT_TRUE(text.ends_with("\n9998\n9999\n"));
}

TEST(StandardOutputTest, AFullDiskIsReportedOnceAndEndsNothing) {
  const int full = ::open("/dev/full", O_WRONLY | O_CLOEXEC);
  for (const size_t size : {size_t{1}, size_t{1} << 20}) {
    EXPECT_EQ(InProcess(full,
                        [&] {
                          static int calls = 0;
                          StandardStreams streams({.on_failure = [] { ++calls; }});
                          for (int i = 0; i < 3; ++i) fmt::print("{}", std::string(size, 'x'));
                          fmt::print(stderr, "{}", "");
                          const Status status = streams.Finish();
                          return status.code() == StatusCode::kResourceExhausted && calls == 1 &&
                                         status.message().find("standard output") != std::string::npos
                                     ? 0
                                     : 1;
                        }),
              0);
  }
  ::close(full);
}

TEST(StandardOutputTest, AReaderThatHasGoneIsKnownAsOne) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  ::close(ends[0]);
  EXPECT_EQ(InProcess(ends[1],
                      [] {
                        StandardStreams streams({});
                        fmt::print("text");
                        return !streams.Finish().ok() && streams.reader_has_gone() ? 0 : 1;
                      }),
            0);
  ::close(ends[1]);
}

TEST(StandardOutputTest, AClosedOutputIsNotTakenByTheNextFile) {
  TemporaryDirectory directory;
  EXPECT_EQ(InProcess(-1,
                      [&] {
                        KeepStandardDescriptorsOpen();
                        StandardStreams streams({});
                        const int file = ::open((directory / "data").c_str(), O_WRONLY | O_CREAT, 0644);
                        fmt::print("text");
                        return file > 2 && !streams.Finish().ok() ? 0 : 1;
                      }),
            0);
  EXPECT_EQ(*ReadFile(directory / "data"), "");
}

TEST(StandardOutputTest, AnErrorOutputThatFailsIsForgotten) {
  const int full = ::open("/dev/full", O_WRONLY | O_CLOEXEC);
  const int null = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  EXPECT_EQ(InProcess(null,
                      [&] {
                        ::dup2(full, STDERR_FILENO);
                        StandardStreams streams({});
                        fmt::print(stderr, "{}", std::string(100'000, 'x'));
                        return streams.Finish().ok() ? 0 : 1;
                      }),
            0);
  ::close(full);
  ::close(null);
}

// A pipe that is full and that nobody reads does not keep a program that is requested to end.
TEST(StandardOutputTest, AReaderThatSleepsIsNotWaitedForAtTheEnd) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  EXPECT_EQ(InProcess(ends[1],
                      [] {
                        struct sigaction action = {};
                        action.sa_handler = [](int) {};  // interrupts the write
                        ::sigaction(SIGALRM, &action, nullptr);
                        const struct itimerval often = {{0, 50'000}, {0, 50'000}};
                        ::setitimer(ITIMER_REAL, &often, nullptr);
                        StandardStreams streams({.ending = [] { return true; }});
                        for (int i = 0; i < 100; ++i) fmt::print("{}", std::string(10'000, 'x'));
                        return streams.Finish().ok() ? 1 : 0;
                      }),
            0);
  ::close(ends[0]);
  ::close(ends[1]);
}

}  // namespace
}  // namespace qwen25

#include "base/file.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <functional>
#include <thread>
#include <vector>

#include "base/mmap.h"
#include "base/test_util.h"

namespace qwen25 {
namespace {

namespace fs = std::filesystem;

size_t NumFiles(const fs::path& directory) {
  return static_cast<size_t>(std::distance(fs::directory_iterator(directory), {}));
}

TEST(FileTest, AtomicReplacementKeepsTheOldContentUntilCommit) {
  TemporaryDirectory directory;
  const std::string path = directory / "file";
  ASSERT_OK(WriteFileAtomically(path, "old"));
  {
    ASSERT_OK_AND_ASSIGN(AtomicFile file, AtomicFile::Open(path));
    ASSERT_OK(file.Write("new and longer"));
    EXPECT_EQ(*ReadFile(path), "old");
  }
  EXPECT_EQ(*ReadFile(path), "old");
  // The abandoned temporary file is gone.
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory.path()), {}), 1);
  ASSERT_OK(WriteFileAtomically(path, "new"));
  EXPECT_EQ(*ReadFile(path), "new");
}

TEST(FileTest, AnAppendedFileGrows) {
  TemporaryDirectory directory;
  const std::string path = directory / "log";
  for (const char* line : {"one\n", "two\n"}) {
    ASSERT_OK_AND_ASSIGN(AppendFile file, AppendFile::Open(path));
    ASSERT_OK(file.Append(line));
    ASSERT_OK(file.Sync());
  }
  EXPECT_EQ(*ReadFile(path), "one\ntwo\n");
  EXPECT_ERROR_CONTAINS(AppendFile::Open(directory / "missing/log"), "cannot open for appending");
}

TEST(FileTest, AFolderIsLockedOnceAtATime) {
  TemporaryDirectory directory;
  {
    ASSERT_OK_AND_ASSIGN(const FolderLock lock, FolderLock::Acquire(directory.path()));
    EXPECT_ERROR_CONTAINS(FolderLock::Acquire(directory.path()), "another process is working in this folder");
  }
  EXPECT_OK(FolderLock::Acquire(directory.path()));
  EXPECT_ERROR_CONTAINS(FolderLock::Acquire(directory / "none"), "cannot open folder");
}

TEST(FileTest, ErrorsNameThePathAndTheReason) {
  EXPECT_ERROR_CONTAINS(ReadFile("/nonexistent/file"), "/nonexistent/file: cannot open: No such file");
  EXPECT_EQ(ReadFile("/nonexistent/file").status().code(), StatusCode::kNotFound);
  EXPECT_ERROR_CONTAINS(MappedFile::Open("/tmp"), "not a regular file");
}

TEST(FileTest, AFolderIsNotReplacedByAFile) {
  TemporaryDirectory directory;
  fs::create_directory(directory / "folder");
  EXPECT_ERROR_CONTAINS(WriteFileAtomically(directory / "folder", "x"), "is a folder");
  EXPECT_TRUE(fs::is_directory(directory / "folder"));
  EXPECT_EQ(NumFiles(directory.path()), 1u);
}

TEST(FileTest, ALinkStaysAndItsTargetIsReplaced) {
  TemporaryDirectory directory;
  fs::create_directory(directory / "data");
  const fs::path target = directory / "data/target", link = directory / "link", second = directory / "second";
  ASSERT_OK(WriteFileAtomically(target, "old"));
  fs::create_symlink("data/target", link);  // relative to the folder of the link
  fs::create_symlink(link, second);
  ASSERT_OK(WriteFileAtomically(second, "new"));
  EXPECT_TRUE(fs::is_symlink(link));
  EXPECT_TRUE(fs::is_symlink(second));
  EXPECT_FALSE(fs::is_symlink(target));
  EXPECT_EQ(*ReadFile(target), "new");
  EXPECT_EQ(NumFiles(directory / "data"), 1u);

  const fs::path dangling = directory / "dangling";
  fs::create_symlink("data/made", dangling);
  ASSERT_OK(WriteFileAtomically(dangling, "first"));
  EXPECT_TRUE(fs::is_symlink(dangling));
  EXPECT_EQ(*ReadFile(directory / "data/made"), "first");

  fs::create_symlink("circle", directory / "circle");
  EXPECT_ERROR_CONTAINS(WriteFileAtomically(directory / "circle", "x"), "symbolic links");
  fs::create_symlink("data", directory / "to_folder");
  ASSERT_OK(WriteFileAtomically(directory / "to_folder/file", "through a linked folder"));
  EXPECT_EQ(*ReadFile(directory / "data/file"), "through a linked folder");
}

TEST(FileTest, AReplacedFileKeepsItsPermissions) {
  TemporaryDirectory directory;
  const std::string path = directory / "file";
  ASSERT_OK(WriteFileAtomically(path, "old"));
  ASSERT_EQ(::chmod(path.c_str(), 0600), 0);
  ASSERT_OK(WriteFileAtomically(path, "new"));
  EXPECT_EQ(fs::status(path).permissions(), fs::perms::owner_read | fs::perms::owner_write);
}

TEST(FileTest, ADeviceIsWrittenTo) {
  ASSERT_OK(WriteFileAtomically("/dev/null", "nothing"));
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
  EXPECT_ERROR_CONTAINS(WriteFileAtomically("/dev/full", "x"), "No space left");
  TemporaryDirectory directory;
  fs::create_symlink("/dev/null", directory / "link");
  ASSERT_OK_AND_ASSIGN(AtomicFile file, AtomicFile::Open(directory / "link"));
  ASSERT_OK(file.Write("header and body"));
  ASSERT_OK(file.WriteAt(0, std::as_bytes(std::span(std::string_view("HEADER")))));
  ASSERT_OK(file.Commit());
  EXPECT_TRUE(fs::is_symlink(directory / "link"));
  EXPECT_EQ(NumFiles(directory.path()), 1u);
}

TEST(FileTest, ANamedPipeIsWrittenTo) {
  TemporaryDirectory directory;
  const std::string path = directory / "pipe";
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  const std::string body(300'000, 'x');  // more than a pipe holds
  for (const bool commits : {true, false}) {
    std::string received;
    std::thread reader([&] { received = *ReadFile(path); });
    {
      ASSERT_OK_AND_ASSIGN(AtomicFile file, AtomicFile::Open(path));
      ASSERT_OK(file.Write("size?"));
      ASSERT_OK(file.Write(body));
      ASSERT_OK(file.WriteAt(0, std::as_bytes(std::span(std::string_view("3e5! ")))));
      if (commits) {
        ASSERT_OK(file.Commit());
      }
    }
    reader.join();
    EXPECT_EQ(received, commits ? "3e5! " + body : "");
  }
  EXPECT_TRUE(fs::is_fifo(path));
  EXPECT_EQ(NumFiles(directory.path()), 1u);
}

// Standard output that is a file: the verb prints there, too, so nothing may be replaced or written over.
TEST(FileTest, StandardOutputIsWrittenToWhereItStands) {
  TemporaryDirectory directory;
  const std::string path = directory / "log";
  for (const int flags : {O_TRUNC, O_APPEND}) {
    ASSERT_OK(WriteFileAtomically(path, "before\n"));
    const int descriptor = ::open(path.c_str(), O_WRONLY | flags | O_CLOEXEC);
    ASSERT_GE(descriptor, 0);
    ASSERT_EQ(::write(descriptor, "one\n", 4), 4);
    ASSERT_OK_AND_ASSIGN(AtomicFile file, AtomicFile::Open(fmt::format("/dev/fd/{}", descriptor)));
    ASSERT_OK(file.Write("xwo\n"));
    ASSERT_OK(file.WriteAt(0, std::as_bytes(std::span(std::string_view("t")))));
    ASSERT_OK(file.Commit());
    ASSERT_EQ(::write(descriptor, "three\n", 6), 6);
    ::close(descriptor);
    EXPECT_EQ(*ReadFile(path), flags == O_TRUNC ? "one\ntwo\nthree\n" : "before\none\ntwo\nthree\n");
  }
  EXPECT_EQ(NumFiles(directory.path()), 1u);
}

TEST(FileTest, ALimitOfTheFileSizeIsAnErrorAndLeavesNothing) {
  TemporaryDirectory directory;
  const std::string path = directory / "file";
  const pid_t child = ::fork();
  if (child == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    const struct rlimit limit = {1000, 1000};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    const Status status = WriteFileAtomically(path, std::string(5000, 'x'));
    ::_exit(status.code() == StatusCode::kResourceExhausted ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(NumFiles(directory.path()), 0u);
}

// Runs `work` in a process of its own, which must kill itself.
void Killed(const std::function<void()>& work) {
  const pid_t child = ::fork();
  if (child == 0) {
    work();
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
}

TEST(FileTest, LeftoversOfAKilledProcessGoAndFilesOfOthersStay) {
  TemporaryDirectory directory;
  Killed([&] {
    auto file = AtomicFile::Open(directory / "model");
    const auto second = AtomicFile::Open(directory / "dialogue");
    (void)file->Write("half of it");
    ::kill(::getpid(), SIGKILL);
  });
  ASSERT_EQ(NumFiles(directory.path()), 2u);
  ASSERT_OK_AND_ASSIGN(TemporaryFile held, TemporaryFile::Create(directory / "g"));
  EXPECT_EQ(NumFiles(directory.path()), 1u) << "the first file of a process in a folder removes leftovers";
  // Names like these, but not ours: no number, or another ending.
  for (const char* name : {"notes.tmp", "a.tmp.x.1", "b.tmp.1", ".tmp", "c.tmp.12.", "d.tmp.-5.1", "e.1.2"}) {
    std::ofstream(directory / name) << "kept";
  }
  // Of a process that lives, without a lock: a version of this program that knows none.
  const std::string living = fmt::format("f.tmp.{}.0", ::getppid());
  std::ofstream(directory / living) << "kept";
  // Held by this process, under the number of a dead one.
  const std::string locked = directory / "g.tmp.2147483647.0";
  fs::rename(held.path(), locked);
  EXPECT_EQ(RemoveLeftovers(directory.path()), 0u);
  EXPECT_EQ(NumFiles(directory.path()), 9u);
  // Written long before that process, or this one, got its number.
  std::ofstream(directory / fmt::format("h.tmp.{}.0", ::getpid())) << "old";
  const fs::file_time_type long_ago = fs::file_time_type::clock::now() - std::chrono::years(20);
  fs::last_write_time(directory / living, long_ago);
  EXPECT_EQ(RemoveLeftovers(directory.path()), 2u);
  EXPECT_FALSE(fs::exists(directory / living));
  EXPECT_EQ(NumFiles(directory.path()), 8u);
  EXPECT_TRUE(fs::exists(locked));
}

TEST(FileTest, ASignalRemovesTemporaryFiles) {
  TemporaryDirectory directory;
  Killed([&] {
    ::signal(SIGTERM, [](int) {
      RemoveTemporaryFilesInSignalHandler();
      ::kill(::getpid(), SIGKILL);
    });
    std::vector<AtomicFile> files;
    for (int i = 0; i < 20; ++i) files.push_back(AtomicFile::Open(directory / std::to_string(i)).value());
    (void)files[3].Commit();
    ::raise(SIGTERM);
  });
  EXPECT_EQ(NumFiles(directory.path()), 1u);
  EXPECT_TRUE(fs::exists(directory / "3"));
}

TEST(FileTest, TheFolderForTemporaryFilesMustBeThere) {
  const char* before = std::getenv("TMPDIR");
  const std::string kept = before == nullptr ? "" : before;
  ::setenv("TMPDIR", "/nonexistent/folder", 1);
  EXPECT_ERROR_CONTAINS(SystemTemporaryFolder(), "/nonexistent/folder: there is no such folder");
  ::setenv("TMPDIR", "/", 1);
  EXPECT_OK(SystemTemporaryFolder());
  before == nullptr ? ::unsetenv("TMPDIR") : ::setenv("TMPDIR", kept.c_str(), 1);
}

}  // namespace
}  // namespace qwen25

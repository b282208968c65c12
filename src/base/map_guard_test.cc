#include "base/map_guard.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "base/file.h"
#include "base/test_util.h"

namespace qwen25 {
namespace {

const size_t kPage = static_cast<size_t>(::sysconf(_SC_PAGESIZE));

// A file of some pages, mapped.
class Mapped {
 public:
  explicit Mapped(const std::filesystem::path& path, size_t num_pages) : num_bytes_(num_pages * kPage) {
    EXPECT_OK(WriteFileAtomically(path, std::string(num_bytes_, 'x')));
    const int descriptor = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
    data_ =
        static_cast<char*>(::mmap(nullptr, num_bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0));
    ::close(descriptor);
    EXPECT_NE(data_, MAP_FAILED);
  }
  ~Mapped() { ::munmap(data_, num_bytes_); }
  Mapped(const Mapped&) = delete;
  Mapped& operator=(const Mapped&) = delete;

  MapGuard Guard(std::atomic<uint64_t>* failures) const {
    return {reinterpret_cast<const std::byte*>(data_), num_bytes_, failures};
  }
  // Not folded away.
  volatile char* page(size_t i) const { return data_ + i * kPage; }

 private:
  size_t num_bytes_;
  char* data_ = nullptr;
};

TEST(MapGuardTest, AFileThatWasCutShortReadsAsZerosAndIsCounted) {
  const TemporaryDirectory directory;
  const Mapped cut(directory / "cut", 8), whole(directory / "whole", 4);
  std::atomic<uint64_t> failures = 0, none = 0;
  const MapGuard guard = cut.Guard(&failures), other = whole.Guard(&none);
  EXPECT_EQ(*cut.page(6), 'x');
  std::filesystem::resize_file(directory / "cut", 3 * kPage);
  EXPECT_EQ(*cut.page(2), 'x');
  EXPECT_EQ(failures, 0u);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (size_t page = 3; page < 8; ++page) EXPECT_EQ(cut.page(page)[kPage - 1], '\0');
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_GE(failures, 5u);
  const uint64_t before = failures;
  *cut.page(7) = 'y';  // in RAM from now on
  EXPECT_EQ(*cut.page(7), 'y');
  EXPECT_EQ(failures, before);
  EXPECT_EQ(*whole.page(3), 'x');
  EXPECT_EQ(none, 0u);
}

TEST(MapGuardTest, GuardsComeAndGo) {
  const TemporaryDirectory directory;
  for (int i = 0; i < 20; ++i) {
    const std::filesystem::path path = directory / std::to_string(i);
    const Mapped mapped(path, 2);
    std::atomic<uint64_t> failures = 0;
    MapGuard guard = mapped.Guard(&failures);
    MapGuard moved = std::move(guard);
    std::filesystem::resize_file(path, kPage);
    EXPECT_EQ(*mapped.page(1), '\0');
    EXPECT_EQ(failures, 1u);
  }
}

TEST(MapGuardDeathTest, OtherBusErrorsEndTheProcess) {
  const TemporaryDirectory directory;
  std::atomic<uint64_t> failures = 0;
  const Mapped mapped(directory / "guarded", 1), other(directory / "other", 2);
  const MapGuard guard = mapped.Guard(&failures);
  std::filesystem::resize_file(directory / "other", kPage);
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(static_cast<void>(*other.page(1)), "");
  EXPECT_DEATH(::raise(SIGBUS), "");
}

}  // namespace
}  // namespace qwen25

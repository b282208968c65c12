// Where a benchmark keeps what it makes.
#pragma once

#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

#include "base/file.h"
#include "base/temporary_file.h"

namespace qwen25 {

// The folder that was requested, which stays; or, for an empty name, one of this process that goes away with
// the object, in `parent` or, if that is empty, in the system's folder for temporary files. Those of
// processes that were killed are removed then.
class BenchFolder {
 public:
  static Result<BenchFolder> Make(const std::string& wanted, std::filesystem::path parent = {}) {
    if (!wanted.empty()) return BenchFolder(wanted, /*temporary=*/false);
    if (parent.empty()) {
      QWEN25_TRY(parent, SystemTemporaryFolder());
    }
    RemoveLeftovers(parent);
    BenchFolder folder(parent / fmt::format("{}{}", kPrefix, ::getpid()), /*temporary=*/true);
    QWEN25_RETURN_IF_ERROR(CreateDirectories(folder.path()));
    return folder;
  }
  BenchFolder(BenchFolder&& other) noexcept
      : path_(std::move(other.path_)), temporary_(std::exchange(other.temporary_, false)) {}
  BenchFolder& operator=(BenchFolder&&) = delete;
  ~BenchFolder() {
    std::error_code ignored;
    if (temporary_) std::filesystem::remove_all(path_, ignored);
  }
  const std::filesystem::path& path() const { return path_; }

 private:
  static constexpr std::string_view kPrefix = "qwen25_bench_";

  BenchFolder(std::filesystem::path path, bool temporary) : path_(std::move(path)), temporary_(temporary) {}

  static void RemoveLeftovers(const std::filesystem::path& parent) {
    std::error_code error, ignored;
    for (std::filesystem::directory_iterator it(parent, error), end; !error && it != end;
         it.increment(error)) {
      const std::string name = it->path().filename();
      if (!name.starts_with(kPrefix)) continue;
      pid_t process = 0;
      const auto [digits_end, failure] =
          std::from_chars(name.data() + kPrefix.size(), name.data() + name.size(), process);
      if (failure != std::errc() || digits_end != name.data() + name.size() || process <= 0) continue;
      if (::kill(process, 0) != 0 && errno == ESRCH) std::filesystem::remove_all(it->path(), ignored);
    }
  }

  std::filesystem::path path_;
  bool temporary_;
};

}  // namespace qwen25

// Where a benchmark keeps what it makes.
#pragma once

#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <string>

namespace qwen25 {

// The folder that was asked for, which stays; or, for an empty name, one of this process that goes away with
// the object, in `parent` or, where that is empty, in the system's folder for temporary files.
class BenchFolder {
 public:
  explicit BenchFolder(const std::string& wanted, const std::filesystem::path& parent = {})
      : path_(wanted), temporary_(wanted.empty()) {
    if (temporary_) {
      path_ = (parent.empty() ? std::filesystem::temp_directory_path() : parent) /
              fmt::format("qwen25_bench_{}", ::getpid());
    }
  }
  ~BenchFolder() {
    std::error_code ignored;
    if (temporary_) std::filesystem::remove_all(path_, ignored);
  }
  BenchFolder(const BenchFolder&) = delete;
  BenchFolder& operator=(const BenchFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  bool temporary_;
};

}  // namespace qwen25

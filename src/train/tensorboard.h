// TensorBoard event files: TFRecord frames around `Event` protocol buffers. Four message types with a few
// fields do not need a library.
//
// Frame (little-endian):  length u64 | masked CRC-32C of the length u32 | payload | masked CRC-32C of it u32
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/status.h"

namespace qwen25 {

struct Scalar {
  std::string_view tag;  // such as "loss/train"; the part before the slash groups charts
  double value;
};

// Appends to one event file. Append() allocates nothing once its buffer has grown.
class TensorBoardWriter {
 public:
  // Creates a new file events.out.tfevents.<seconds>.<host>.<pid>.<n> in `directory`, which is created if
  // needed. TensorBoard reads all files of a folder as one run. A mark at the start of the file makes it drop
  // the events of earlier files for steps >= first_step, which this run computes again.
  static Result<TensorBoardWriter> Open(const std::filesystem::path& directory, uint64_t first_step);
  // Writes one event with all `scalars` and the time of the wall clock.
  Status Append(uint64_t step, std::span<const Scalar> scalars);
  Status Sync() { return file_.Sync(); }
  const std::string& path() const { return file_.path(); }

 private:
  explicit TensorBoardWriter(AppendFile file) : file_(std::move(file)) {}
  Status WriteEvent();

  AppendFile file_;
  std::vector<char> event_, message_, frame_;  // reused
};

// CRC-32C, rotated and offset: plain CRCs of data that contains CRCs would be weak.
uint32_t MaskedCrc32c(std::span<const std::byte> bytes);

}  // namespace qwen25

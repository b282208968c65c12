// TensorBoard event files: TFRecord frames around `Event` protocol buffers, written by hand since four
// message types with seven fields need no library.
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
  std::string_view tag;  // "loss/train": the part before the slash groups charts
  double value;
};

// Appends to one event file. Append() allocates nothing once its buffer has grown.
class TensorBoardWriter {
 public:
  // Creates `directory`, and in it a new file: events.out.tfevents.<seconds>.<host>.<pid>.<n>. TensorBoard
  // reads all files of a folder as one run; the file starts with the mark that makes it drop what earlier
  // files say of steps >= first_step, as this run computes those again.
  static Result<TensorBoardWriter> Open(const std::filesystem::path& directory, uint64_t first_step);
  // One event with all `scalars`, at the wall clock's time.
  Status Append(uint64_t step, std::span<const Scalar> scalars);
  Status Sync() { return file_.Sync(); }
  const std::string& path() const { return file_.path(); }

 private:
  explicit TensorBoardWriter(AppendFile file) : file_(std::move(file)) {}
  Status WriteEvent();

  AppendFile file_;
  std::vector<char> event_, message_, frame_;  // reused
};

// CRC-32C, rotated and offset so that a checksum of data that holds checksums stays sound.
uint32_t MaskedCrc32c(std::span<const std::byte> bytes);

}  // namespace qwen25

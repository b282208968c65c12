// Memory that lies in a file, for what does not fit into RAM or is not worth its place there.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <vector>

#include "base/map_guard.h"
#include "base/status.h"
#include "ops/attention/sequence_kv.h"

namespace qwen25 {

// A file without a name: its space is free again when the process ends, however it ends. Not thread-safe,
// but for Read beside itself.
class SpillFile : public BlockFile {
 public:
  // In `directory`, which must exist; an error with the reason otherwise.
  static Result<SpillFile> Create(const std::filesystem::path& directory);
  SpillFile(SpillFile&& other) noexcept;
  SpillFile& operator=(SpillFile&& other) noexcept;
  ~SpillFile() override;

  // `num_bytes` (a multiple of the page size) more, zeroed, at an address that stays. The space is taken from
  // the disk now, so that no later write can fail: kResourceExhausted when there is none left.
  Result<std::byte*> Grow(size_t num_bytes);
  // Gives all of its RAM back to the system, which keeps what it likes in the file cache. Reading goes on as
  // before, and is slower where the disk has to be asked.
  void Release();
  bool Read(const std::byte* from, size_t num_bytes, std::byte* to) const override;
  // kIo once a page of the mapping could not be read (map_guard.h): what it held is lost, and it reads as
  // zeros. Any thread may ask.
  Status status() const;

  size_t num_bytes() const { return num_bytes_; }

 private:
  struct Piece {
    std::byte* data;
    size_t num_bytes, offset;
    MapGuard guard;
  };
  SpillFile(std::filesystem::path directory, int descriptor)
      : directory_(std::move(directory)), descriptor_(descriptor) {}

  std::filesystem::path directory_;
  int descriptor_ = -1;
  size_t num_bytes_ = 0;
  std::unique_ptr<std::atomic<uint64_t>> failures_ = std::make_unique<std::atomic<uint64_t>>(0);
  std::vector<Piece> pieces_;  // by address
};

// RAM of this process that files back: spill files, mapped weights, the program; 0 where the system does not
// tell.
size_t ReadFileBackedBytes();
// The most RAM that this process had since its start or the last reset; 0 where the system does not tell.
size_t ReadPeakResidentBytes();
void ResetPeakResidentBytes();

}  // namespace qwen25

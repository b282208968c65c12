// Memory in a file, for data that does not fit into RAM or is used too rarely to stay there.
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

// A file without a name, whose space is freed when the process ends, however it ends. Not thread-safe, except
// that several threads may call Read and status at once.
class SpillFile : public BlockFile {
 public:
  // Creates the file in `directory`. kNotFound if there is no such folder; kIo or kResourceExhausted
  // otherwise.
  static Result<SpillFile> Create(const std::filesystem::path& directory);
  SpillFile(SpillFile&& other) noexcept;
  SpillFile& operator=(SpillFile&& other) noexcept;
  ~SpillFile() override;

  // Adds `num_bytes` (> 0, a multiple of the page size) zeroed bytes, at an address that stays valid.
  // Allocates the disk space now, so that no later write can fail: kResourceExhausted if there is not enough,
  // else kIo.
  Result<std::byte*> Grow(size_t num_bytes);
  // Gives the RAM of all mappings back to the system. Contents stay; later reads are slower if the file cache
  // no longer has them.
  void Release();
  bool Read(const std::byte* from, size_t num_bytes, std::byte* to) const override;
  // kIo once a page of the mapping could not be read (map_guard.h): its contents are lost, and it reads as
  // zeros.
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

// Bytes of this process's RAM that are backed by files: spill files, mapped weights, the program; 0 if
// unknown.
size_t ReadFileBackedBytes();
// The most RAM, in bytes, that this process had since its start or the last reset; 0 if unknown.
size_t ReadPeakResidentBytes();
void ResetPeakResidentBytes();

}  // namespace qwen25

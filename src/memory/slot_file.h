// A file of equal slots, mapped for reading: where the blocks of one size lie.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <utility>

#include "base/map_guard.h"
#include "base/status.h"

namespace qwen25 {

// Knows which slots are taken, not what is in them. Slots are written with system calls and read through
// either those or the map, whose addresses stay for the life of this object. One thread at a time changes it;
// others may call Read, Map, Prefetch, num_map_failures and DiskBytes meanwhile.
class SlotFile {
 public:
  // More than any file system has room for, and few enough to keep one pointer for each.
  static constexpr uint64_t kMaxSlots = uint64_t{1} << 26;

  static std::filesystem::path PathIn(const std::filesystem::path& folder, uint64_t slot_bytes);
  // Opens or creates (and then flushes the folder). Slots beyond `max_slots` and the end of the file can be
  // read, but not through the map. All slots are free at first.
  static Result<SlotFile> Open(const std::filesystem::path& folder, uint64_t slot_bytes, uint64_t max_slots);
  SlotFile(SlotFile&& other) noexcept;
  SlotFile& operator=(SlotFile&&) = delete;
  ~SlotFile();

  // The lowest free slot; it is taken from now on.
  uint32_t Take();
  // For a slot that the database names. Slots are taken once.
  void MarkTaken(uint32_t slot);
  // Empties a slot and makes it free. On an error it is free all the same, and is emptied when the store is
  // opened the next time.
  Status Release(uint32_t slot);
  // Empties all free slots and cuts the file after the last one that is taken.
  Status EmptyFreeSlots();

  // Writes a whole slot, [slot_bytes].
  Status Write(uint32_t slot, std::span<const std::byte> bytes);
  // Flushes what was written and emptied since the last time.
  Status Sync();
  // kCorrupt where the file ends before.
  Status Read(uint32_t slot, uint64_t offset, std::span<std::byte> bytes) const;
  // [slot_bytes], or nothing for a slot that is not mapped or lies beyond the end of the file.
  std::span<const std::byte> Map(uint32_t slot) const;

  // How often a page of the map could not be read, since the disk failed or the file was cut short: it reads
  // as zeros since then (map_guard.h). Changes while others read the map.
  uint64_t num_map_failures() const { return failures_->load(std::memory_order_acquire); }
  // After failures: makes the map show the file again. Nobody may be reading the map.
  Status RepairMap();

  // Lets the system read a part of a mapped slot ahead of its use.
  void Prefetch(std::span<const std::byte> part) const;

  uint64_t slot_bytes() const { return slot_bytes_; }
  // The number after that of the last slot that was ever taken.
  uint32_t end_slot() const { return end_slot_; }
  // The lowest free slot below end_slot(), or end_slot().
  uint32_t lowest_free() const { return free_.empty() ? end_slot_ : *free_.begin(); }
  // What the file takes on its disk.
  uint64_t DiskBytes() const;
  const std::string& path() const { return path_; }

 private:
  SlotFile(std::string path, int descriptor, uint64_t slot_bytes)
      : path_(std::move(path)), descriptor_(descriptor), slot_bytes_(slot_bytes) {}
  Status Empty(uint64_t begin, uint64_t end);
  Status OverwriteWithZeros(uint64_t begin, uint64_t end);

  std::string path_;
  int descriptor_;
  uint64_t slot_bytes_;
  std::atomic<uint64_t> file_bytes_ = 0;
  const std::byte* map_ = nullptr;
  size_t map_bytes_ = 0;
  std::unique_ptr<std::atomic<uint64_t>> failures_ = std::make_unique<std::atomic<uint64_t>>(0);
  uint64_t repaired_failures_ = 0;
  MapGuard guard_;
  std::set<uint32_t> free_;  // below end_slot_
  uint32_t end_slot_ = 0;
  bool unsynced_ = false;
};

}  // namespace qwen25

// A file of slots of equal size, mapped for reading. It holds the blocks of one slot size.
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

// Knows which slots are taken, but not what is in them. Slots are written with system calls, and read with
// system calls or through the map, whose addresses stay the same for the life of this object. Only one thread
// at a time may change it; others may call Read, Map, Prefetch, num_map_failures and DiskBytes meanwhile.
class SlotFile {
 public:
  // At least 512 GiB, since slots have 8 KiB or more. The owner keeps one pointer for each slot.
  static constexpr uint64_t kMaxSlots = uint64_t{1} << 26;

  static std::filesystem::path PathIn(const std::filesystem::path& folder, uint64_t slot_bytes);
  // Opens the file, or creates it and flushes the folder. The map covers `max_slots` slots or the present
  // file, whichever is longer; slots beyond it can only be read with Read. All slots are free at first.
  static Result<SlotFile> Open(const std::filesystem::path& folder, uint64_t slot_bytes, uint64_t max_slots);
  SlotFile(SlotFile&& other) noexcept;
  SlotFile& operator=(SlotFile&&) = delete;
  ~SlotFile();

  // Takes the lowest free slot.
  uint32_t Take();
  // Takes a free slot that the database names.
  void MarkTaken(uint32_t slot);
  // Frees a slot and empties it. On an error it is free all the same; EmptyFreeSlots tries again (the store
  // calls it at the latest when it is opened next).
  Status Release(uint32_t slot);
  // Empties all free slots, and cuts the file after the last taken one.
  Status EmptyFreeSlots();

  // Writes a whole slot: `bytes` [slot_bytes].
  Status Write(uint32_t slot, std::span<const std::byte> bytes);
  // Flushes writes and emptied slots to disk.
  Status Sync();
  // Fills `bytes` from byte `offset` of a slot on. kCorrupt if the file ends before.
  Status Read(uint32_t slot, uint64_t offset, std::span<std::byte> bytes) const;
  // The slot in the map [slot_bytes]; empty if it lies beyond the map or the end of the file.
  std::span<const std::byte> Map(uint32_t slot) const;

  // How often a page of the map could not be read, because the disk failed or the file was cut short. Such a
  // page reads as zeros from then on (map_guard.h). Rises while threads read the map.
  uint64_t num_map_failures() const { return failures_->load(std::memory_order_acquire); }
  // Maps the file again if pages have failed since the last repair. No thread may be reading the map.
  Status RepairMap();

  // Asks the system to read a part of a mapped slot ahead.
  void Prefetch(std::span<const std::byte> part) const;

  uint64_t slot_bytes() const { return slot_bytes_; }
  // One past the last slot that is taken or waits to be cut off by EmptyFreeSlots.
  uint32_t end_slot() const { return end_slot_; }
  // The lowest free slot below end_slot(), or end_slot().
  uint32_t lowest_free() const { return free_.empty() ? end_slot_ : *free_.begin(); }
  // Bytes that the file takes on disk, holes excluded.
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

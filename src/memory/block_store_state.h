// The state of a BlockStore. Included by block_store*.cc only.
#pragma once

#include <atomic>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "memory/block_catalog.h"
#include "memory/block_store.h"
#include "memory/slot_file.h"
#include "memory/slot_header.h"
#include "store/cipher.h"

namespace qwen25 {

struct BlockStore::State {
  // The file of one slot size, and the block in each of its slots.
  struct Slots {
    SlotFile file;
    std::vector<BlockEntry*> owners;  // null: free
  };

  std::filesystem::path folder;
  uint64_t max_bytes = 0;
  FolderLock lock;
  std::optional<Cipher> cipher;
  std::unique_ptr<BlockCatalog> catalog;
  std::map<uint64_t, Slots> slots;  // by slot_bytes
  uint64_t used_bytes = 0;          // of all taken slots
  std::map<std::string, uint64_t, std::less<>> num_erasures;
  std::atomic<uint64_t> num_eviction_walks = 0;

  // Two locks, taken in this order. A writer holds `writing` for the whole of its call, and `content`
  // exclusively only while the members above change. A reader of these members, or of mapped slots, shares
  // `content`: it never waits for a flush or for a transaction of the database.
  std::mutex writing;
  mutable std::shared_mutex content;

  // Uses noted by readers; the next writer counts them (CountUses).
  struct Uses {
    static constexpr size_t kMaxRead = 1 << 16;

    // Forgets the older half if there are too many: a process may read for months and write nothing.
    void NoteRead(const BlockKey& key) {
      if (read.size() == kMaxRead) read.erase(read.begin(), read.begin() + kMaxRead / 2);
      read.push_back(key);
    }

    std::vector<BlockKey> read;     // by Read and Use; each gets its own tick
    std::vector<BlockKey> touched;  // by Layer; all get the same tick
  };
  Uses uses;
  std::mutex uses_mutex;

  explicit State(FolderLock folder_lock) : lock(std::move(folder_lock)) {}

  const Cipher* CipherOrNull() const { return cipher ? &*cipher : nullptr; }
  const BlockFormat& FormatOf(const BlockEntry& entry) const {
    return catalog->formats().at(entry.key.format);
  }
  uint64_t BytesOf(const BlockEntry& entry) const { return SlotLayout(FormatOf(entry)).slot_bytes; }
  Slots& SlotsOf(const BlockEntry& entry) { return slots.at(BytesOf(entry)); }

  // Opens the slot files of all blocks in the catalog. Empties free slots and removes files without blocks.
  Status OpenFiles();
  Result<Slots*> OpenSlots(uint64_t slot_bytes);
  // Enters a block as the owner of its slot, which is already taken.
  void Own(Slots& of, BlockEntry* entry);

  BlockEntry* Find(std::string_view name_space, const BlockFormat& format, const Hash128& id) const;
  // StoredBlock::slot, which combines the slot's size in pages with its number. FindHandle returns null if
  // the block was removed or moved.
  static uint64_t Handle(uint64_t slot_bytes, uint32_t slot) {
    return slot_bytes / kSlotPage * SlotFile::kMaxSlots + slot;
  }
  BlockEntry* FindHandle(const StoredBlock& block) const;

  // Counts the uses that Read, Use and Layer have noted.
  void CountUses();
  // BlockEntry::checked of a layer whose checksum was right after `num_failures` failed pages. After another
  // failure the layer is checked again, since the failed page may be one of its own.
  static uint8_t CheckMark(uint64_t num_failures) { return static_cast<uint8_t>(1 + num_failures % 255); }
  // The blocks to remove so that `num_new` slots of `slot_bytes` fit; kResourceExhausted if too few may go.
  Result<std::vector<BlockEntry*>> MakeRoom(uint64_t slot_bytes, uint64_t num_new,
                                            std::span<const BlockKey> new_parents);
  // Takes a slot and writes a new block to it. `buffer` is scratch memory [slot_bytes].
  Result<std::unique_ptr<BlockEntry>> WriteBlock(Slots& into, const BlockKey& key, const BlockFormat& format,
                                                 const NewBlock& block, std::span<std::byte> buffer);
  // Commits the change to the catalog, then empties the slots that it gave up. A slot that cannot be emptied
  // is free all the same (SlotFile::Release).
  Status Commit(BlockCatalog::Change change);
  // The same for removals; after OK, no file holds a trace of the removed blocks.
  Status CommitWithoutTrace(BlockCatalog::Change change);
  // Flushes the slots of new blocks, then commits. On an error, gives these slots up.
  Status FlushAndCommit(Slots& into, BlockCatalog::Change change);
  // Gives up the slots of entries that are not in the catalog.
  void GiveUp(Slots& of, std::span<const std::unique_ptr<BlockEntry>> entries);

  // The header of an entry's slot; kCorrupt, naming the block, if it is damaged or belongs to another block.
  Result<SlotHeader> ReadHeader(const BlockEntry& entry) const;
  // Reads one part of a slot (a layer; the summaries are part num_layers) into `out`, decrypted and checked.
  Status ReadPart(const BlockEntry& entry, const SlotHeader& header, size_t part,
                  std::span<std::byte> out) const;
  // Reads all layers, and the summaries unless `summaries` is empty.
  Status ReadBlock(const BlockEntry& entry, const SlotHeader& header, std::span<std::byte* const> layers,
                   std::span<std::byte> summaries) const;
  // Removes a block that was found damaged in `slot`, unless it has moved or been stored again meanwhile.
  Status RemoveDamaged(const BlockKey& key, uint32_t slot, uint64_t sequence);
  // Moves blocks to the lowest free slots.
  Status MoveToFront(Slots& of);
  // The block's file, id, namespace and slot, for messages.
  std::string Describe(const BlockEntry& entry) const;
};

// 32 hexadecimal digits.
std::string HexId(const Hash128& id);

}  // namespace qwen25

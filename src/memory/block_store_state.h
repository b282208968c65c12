// What the parts of a block store share: included by block_store*.cc only.
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
  // The file of one slot size, and which block is in each of its slots.
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

  // Two locks, taken in this order. Whoever changes what is stored holds `writing` for the whole of it, and
  // `content` exclusively for the moment in which the members above change. Whoever looks at them, or at
  // mapped slots, shares `content`: flushing and the database's transactions stop nobody.
  std::mutex writing;
  mutable std::shared_mutex content;

  // Uses that are counted before the next change.
  struct Uses {
    std::vector<BlockKey> read;     // each at a tick of its own
    std::vector<BlockKey> touched;  // through the map, all at one tick
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

  // Files and slots of what the catalog holds; empties what it does not name.
  Status OpenFiles();
  Result<Slots*> OpenSlots(uint64_t slot_bytes);
  void Own(Slots& of, BlockEntry* entry);  // its slot is taken already

  BlockEntry* Find(std::string_view name_space, const BlockFormat& format, const Hash128& id) const;
  // StoredBlock::slot: the size of the slot in pages, and its number. The entry is null where it was removed.
  static uint64_t Handle(uint64_t slot_bytes, uint32_t slot) {
    return slot_bytes / kSlotPage * SlotFile::kMaxSlots + slot;
  }
  BlockEntry* FindHandle(const StoredBlock& block) const;

  // Turns what Read, Use and Layer have noted into uses.
  void CountUses();
  // Of a layer whose sum was right when `num_failures` pages could not be read: it is computed again after
  // another failure, since the pages may be among what was right.
  static uint8_t CheckMark(uint64_t num_failures) { return static_cast<uint8_t>(1 + num_failures % 255); }
  // What must go so that `num_new` slots of `slot_bytes` fit; kResourceExhausted where too little may go.
  Result<std::vector<BlockEntry*>> MakeRoom(uint64_t slot_bytes, uint64_t num_new,
                                            std::span<const BlockKey> new_parents);
  // Writes a new block into a slot that is taken for it.
  Result<std::unique_ptr<BlockEntry>> WriteBlock(Slots& into, const BlockKey& key, const BlockFormat& format,
                                                 const NewBlock& block, std::span<std::byte> buffer);
  // Commits the change to the catalog; then empties the slots that it gave up. A slot that cannot be emptied
  // is free all the same (SlotFile::Release).
  Status Commit(BlockCatalog::Change change);
  // The same for a change that removes: afterwards no file holds a trace of what it removed.
  Status CommitWithoutTrace(BlockCatalog::Change change);
  // For new blocks, whose slots are given up on an error.
  Status FlushAndCommit(Slots& into, BlockCatalog::Change change);
  // Gives up slots that no entry names yet.
  void GiveUp(Slots& of, std::span<const std::unique_ptr<BlockEntry>> entries);

  // The head of an entry's slot, which is the one that it should be; kCorrupt, saying which block, otherwise.
  Result<SlotHeader> ReadHeader(const BlockEntry& entry) const;
  // Reads and checks one part of a slot into `out`, decrypted.
  Status ReadPart(const BlockEntry& entry, const SlotHeader& header, size_t part,
                  std::span<std::byte> out) const;
  // Layers, and summaries unless empty.
  Status ReadBlock(const BlockEntry& entry, const SlotHeader& header, std::span<std::byte* const> layers,
                   std::span<std::byte> summaries) const;
  // Removes a block that was found damaged at that slot, unless it was stored anew meanwhile.
  Status RemoveDamaged(const BlockKey& key, uint32_t slot, uint64_t sequence);
  // Moves blocks to the lowest free slots.
  Status MoveToFront(Slots& of);
  // For messages.
  std::string Describe(const BlockEntry& entry) const;
};

// What may be the name of a namespace.
Status CheckNamespace(std::string_view name_space);
// 32 hexadecimal digits.
std::string HexId(const Hash128& id);

}  // namespace qwen25

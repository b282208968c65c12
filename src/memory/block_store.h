// KV blocks on disk: the persistent tier of memory (docs/memory.md, "KV blocks on disk"). Format:
// docs/formats/kv_blocks.md.
//
// Blocks lie in files of equal slots, one file per slot size, which are mapped and read without copying; an
// LMDB database says which block is in which slot. A slot is written and flushed before the transaction that
// names it, so that every block in the database is whole. A slot that a transaction gave up is emptied (a
// hole in its file) after that transaction, or by the next Open if the process died in between.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <shared_mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/hash.h"
#include "base/status.h"
#include "memory/block_format.h"

namespace qwen25 {

// The position of a block of a passage, which is a text outside of dialogues, such as a note. It holds the
// number of the block's tokens that count (the first `num_tokens`, 1 to kBlockTokens) and the block's index
// in the passage (0 to 2^24 - 1). Every block of a passage has the passage's name as its parent, so that none
// depends on another one.
inline constexpr uint32_t kPassageBlock = uint32_t{1} << 31;
constexpr uint32_t PassagePosition(size_t index, size_t num_tokens) {
  return kPassageBlock | static_cast<uint32_t>(num_tokens) << 24 | static_cast<uint32_t>(index);
}

// A block to store. The spans must stay valid during Put.
struct NewBlock {
  Hash128 id;
  Hash128 parent;                            // id of the block before it; zeros for the first of a sequence
  uint32_t position = 0;                     // in its sequence, in blocks
  std::span<const int32_t> tokens;           // kBlockTokens of them
  std::span<const std::byte* const> layers;  // [num_layers] addresses of layer_bytes bytes
  std::span<const std::byte> summaries;      // [num_layers, summary_bytes]
};

// An entry of List().
struct StoredBlock {
  Hash128 id;
  Hash128 parent;
  uint32_t position = 0;
  uint64_t slot = 0;      // opaque handle for Layer(), Summaries(), ...; valid until the block goes or moves
  uint64_t sequence = 0;  // rises in the order in which blocks were stored

  bool IsOfPassage() const { return (position & kPassageBlock) != 0; }
  // Number of its tokens that count, 1 to kBlockTokens.
  size_t NumTokens() const;
};

struct BlockStoreStats {
  uint64_t num_blocks = 0;
  uint64_t used_bytes = 0, max_bytes = 0;  // of slots and database together; the budget
  uint64_t index_bytes = 0;                // of the database file
  uint64_t num_pinned = 0;                 // blocks of pinned namespaces
  uint64_t num_eviction_walks = 0;         // since Open: how often all blocks were visited to make room
  struct Namespace {
    std::string name;
    uint64_t num_blocks = 0, used_bytes = 0;
    uint64_t num_passage_blocks = 0;  // of num_blocks
    bool pinned = false;
  };
  std::vector<Namespace> namespaces;
};

// What Verify found.
struct BlockStoreReport {
  uint64_t num_checked = 0;
  // One message each: first the damage that Open found in the index, then namespace, id and damage of each
  // block.
  std::vector<std::string> damaged;
};

// One process at a time. Any thread may call any function at any time, except Layer() (see there). Functions
// that change what is stored wait for each other, and block the others only while the list of blocks changes.
class BlockStore {
 public:
  struct Options {
    uint64_t max_bytes = uint64_t{16} << 30;  // of slots and database together
    // 32 bytes; blocks and index are then encrypted (XChaCha20-Poly1305), names of namespaces included.
    std::optional<std::string> key;
  };

  // Opens the store in `folder`, or creates it. kResourceExhausted if another process has it open;
  // kUnsupported for another version of the format; kInvalidArgument if the key is wrong or missing, or given
  // for a store that has none; kCorrupt for a damaged index; kIo, with the reason, if the folder cannot be
  // written to.
  static Result<BlockStore> Open(const std::filesystem::path& folder, const Options& options);
  BlockStore(BlockStore&&) noexcept;
  BlockStore& operator=(BlockStore&&) noexcept;
  ~BlockStore();

  // Stores all of the blocks or none. Once it returns OK, they survive a kill and a power loss. A block that
  // is already there only counts as used. If the budget is reached, removes the least valuable blocks
  // (block_eviction.h); kResourceExhausted if too few may be removed, or if the disk is full. Any error
  // leaves the store as it was. With `num_erasures`: kCancelled if NumErasures of the namespace has changed,
  // so that erased content is not stored again by a late writer.
  Status Put(std::string_view name_space, const BlockFormat& format, std::span<const NewBlock> blocks,
             std::optional<uint64_t> num_erasures = std::nullopt);
  // How often Erase was called for a namespace since Open. (No other process can call it meanwhile.)
  uint64_t NumErasures(std::string_view name_space) const;

  bool Contains(std::string_view name_space, const BlockFormat& format, const Hash128& id) const;
  // Whether a listed block is still where it was listed.
  bool Contains(const StoredBlock& block) const;

  // Copies a block to `layers` ([num_layers] addresses of layer_bytes bytes) and `summaries` ([num_layers,
  // summary_bytes], or empty), after comparing its tokens and checksums. kNotFound if it is not there or has
  // other tokens. kCorrupt if it is damaged: then it alone is removed. Counts as use.
  Status Read(std::string_view name_space, const BlockFormat& format, const Hash128& id,
              std::span<const int32_t> tokens, std::span<std::byte* const> layers,
              std::span<std::byte> summaries);

  // Whether a block is there; counts as use.
  bool Use(std::string_view name_space, const BlockFormat& format, const Hash128& id);

  // The formats of which a namespace holds blocks.
  std::vector<BlockFormat> Formats(std::string_view name_space) const;
  // All blocks of a namespace and format, in the order in which they were stored.
  std::vector<StoredBlock> List(std::string_view name_space, const BlockFormat& format) const;
  // While it lives, no block is removed or moved: functions that do so wait before their last step. For the
  // time of a forward pass. The thread that holds it must call only functions that take it, and
  // Layer().
  class Reading {
   public:
    explicit Reading(std::shared_mutex& content) : lock_(content) {}

   private:
    std::shared_lock<std::shared_mutex> lock_;
  };
  Reading BeginReading() const;
  // Keys and values of one layer of a listed block, layer_bytes bytes in the map. The first call for a layer
  // checks its checksum. Null if the bytes are damaged, if the block is no longer there, and in an encrypted
  // store. All calls for a block between two calls of Put count as one use. Any thread may call it while a
  // Reading lives, or while no other function runs; the address is valid for that time.
  const std::byte* Layer(const StoredBlock& block, const BlockFormat& format, size_t layer) const;
  // How often a page of the map could not be read (map_guard.h). If it rises between a call of Layer() and
  // the end of reading, the bytes read are invalid; later calls of Layer() return null for the block
  // concerned.
  uint64_t NumReadFailures() const;
  bool IsEncrypted() const;
  // The summaries [num_layers, summary_bytes] or the tokens [kBlockTokens] of a listed block, checked.
  // kNotFound if it is no longer there, kCorrupt if it is damaged. Neither counts as use.
  Status Summaries(const Reading& reading, const StoredBlock& block, const BlockFormat& format,
                   std::span<std::byte> summaries) const;
  Result<std::vector<int32_t>> Tokens(const StoredBlock& block) const;
  // Copies a listed block, checked, to `tokens` [kBlockTokens], `layers` and `summaries` (as for Read).
  // Errors as above: a damaged block stays. Does not count as use.
  Status Copy(const StoredBlock& block, const BlockFormat& format, std::span<int32_t> tokens,
              std::span<std::byte* const> layers, std::span<std::byte> summaries) const;

  // Exempts all blocks of a namespace, present and future ones, from eviction; false ends that.
  Status Pin(std::string_view name_space, bool pinned);
  // Removes a namespace and its blocks; after OK, no file holds a trace of them.
  Status Erase(std::string_view name_space);
  // Removes the blocks of passages for which `removes` returns true, and returns their number. With `erase`,
  // no file then holds a trace of them, nor of blocks removed earlier.
  using PassageFilter =
      std::function<bool(const BlockFormat& format, const Hash128& passage, const Hash128& id)>;
  Result<size_t> RemovePassages(std::string_view name_space, const PassageFilter& removes, bool erase);
  // Rewrites the database without gaps and moves blocks to the front of their files, which invalidates
  // earlier StoredBlocks. Returns the number of bytes freed on disk.
  Result<uint64_t> Compact();

  BlockStoreStats Stats() const;
  // Reads every block and compares every checksum; changes nothing. `progress` (in blocks) may be null;
  // returning false ends it with kCancelled.
  Result<BlockStoreReport> Verify(const std::function<bool(uint64_t done, uint64_t total)>& progress) const;

 private:
  struct State;
  explicit BlockStore(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace qwen25

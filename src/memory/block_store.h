// KV blocks on disk: the persistent tier of memory (docs/memory.md, "KV blocks on disk"). Format:
// docs/formats/kv_blocks.md.
//
// Blocks lie in files of equal slots, one file per slot size, which are mapped and read without copying; an
// LMDB database says which block is in which slot. A slot is written and flushed before the transaction that
// names it, so that every block of the database is whole; a slot that a transaction gave up is emptied (a
// hole in its file) after it, and again at the next Open if the process died in between.
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

// The position of a block of a passage: a text beside the dialogues, such as a note. It says how many of the
// block's tokens count, the first `num_tokens`, and where the block stands in its passage (at most 2^24 - 1).
// The parent is the passage's name, in each of its blocks, so that none depends on another one.
inline constexpr uint32_t kPassageBlock = uint32_t{1} << 31;
constexpr uint32_t PassagePosition(size_t index, size_t num_tokens) {
  return kPassageBlock | static_cast<uint32_t>(num_tokens) << 24 | static_cast<uint32_t>(index);
}

// A block to be stored. The spans must live during Put.
struct NewBlock {
  Hash128 id;
  Hash128 parent;                            // id of the block before it; zeros for the first of a sequence
  uint32_t position = 0;                     // in its sequence, in blocks
  std::span<const int32_t> tokens;           // kBlockTokens of them
  std::span<const std::byte* const> layers;  // [num_layers], each layer_bytes
  std::span<const std::byte> summaries;      // [num_layers * summary_bytes]
};

// One stored block, as a list of them shows it.
struct StoredBlock {
  Hash128 id;
  Hash128 parent;
  uint32_t position = 0;
  uint64_t slot = 0;      // opaque: what Layer() and Summaries() are given; valid until the block is removed
  uint64_t sequence = 0;  // ascending in the order in which blocks were stored

  bool IsOfPassage() const { return (position & kPassageBlock) != 0; }
  // That count, 1 to kBlockTokens.
  size_t NumTokens() const;
};

struct BlockStoreStats {
  uint64_t num_blocks = 0, used_bytes = 0, max_bytes = 0;
  uint64_t index_bytes = 0;         // of the database file
  uint64_t num_pinned = 0;          // blocks of pinned namespaces
  uint64_t num_eviction_walks = 0;  // over all blocks, to make room, since the store was opened
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
  // One line each: namespace, id, what is wrong; first, what was wrong with the index when it was opened.
  std::vector<std::string> damaged;
};

// One process at a time. Any thread may call any function at any time: those that change what is stored wait
// for each other, and hold up the others only for the moment in which the list of blocks changes. Layer()
// alone asks for more (BeginReading).
class BlockStore {
 public:
  struct Options {
    uint64_t max_bytes = uint64_t{16} << 30;  // of slots and database together
    // 32 bytes: everything but names of namespaces is encrypted with it (XChaCha20-Poly1305, libsodium).
    std::optional<std::string> key;
  };

  // Opens or creates. kResourceExhausted where another process has it open; kUnsupported for another version
  // of the format; kInvalidArgument where the key is not the one that it was made with (or is missing, or too
  // much); kIo with the reason for a folder that cannot be written.
  static Result<BlockStore> Open(const std::filesystem::path& folder, const Options& options);
  BlockStore(BlockStore&&) noexcept;
  BlockStore& operator=(BlockStore&&) noexcept;
  ~BlockStore();

  // Writes blocks, all or none. When it returns OK they survive a kill and a power loss. A block that is
  // there already is only used anew. Makes room, where the budget is reached, by removing the least valuable
  // blocks (long unused, seldom used, not pinned; never a block before one that follows it). On a full disk
  // or any other error: a message, and the store as it was. With `num_erasures`: kCancelled if NumErasures of
  // the namespace is another one by now, so that what was erased is not stored again by whoever comes late.
  Status Put(std::string_view name_space, const BlockFormat& format, std::span<const NewBlock> blocks,
             std::optional<uint64_t> num_erasures = std::nullopt);
  // How often Erase was called for a namespace since the store was opened. No other process can, meanwhile.
  uint64_t NumErasures(std::string_view name_space) const;

  bool Contains(std::string_view name_space, const BlockFormat& format, const Hash128& id) const;

  // Copies a block to `layers` [num_layers] and `summaries` (may be empty), having compared its tokens and
  // its checksums. kNotFound where it is not there or has other tokens. kCorrupt where it is damaged: it is
  // then removed, and only it. Counts as use.
  Status Read(std::string_view name_space, const BlockFormat& format, const Hash128& id,
              std::span<const int32_t> tokens, std::span<std::byte* const> layers,
              std::span<std::byte> summaries);

  // Whether a block is there; counts as use.
  bool Use(std::string_view name_space, const BlockFormat& format, const Hash128& id);

  // The formats of which a namespace holds blocks.
  std::vector<BlockFormat> Formats(std::string_view name_space) const;
  // All blocks of a namespace and format, in the order in which they were stored.
  std::vector<StoredBlock> List(std::string_view name_space, const BlockFormat& format) const;
  // Keys and values of one layer of a listed block, where they lie in the map.
  // Layer() checks the sum at the first call for a block's layer; null for damaged bytes, for a
  // block that is no longer there, and in an encrypted store, which has nothing to map. Between two calls of
  // Put it counts as one use. To be called, from any threads, while a Reading lives or while no other
  // function runs; the address is valid until then.
  class Reading {
   public:
    explicit Reading(std::shared_mutex& content) : lock_(content) {}

   private:
    std::shared_lock<std::shared_mutex> lock_;
  };
  // While it lives, blocks neither go nor move: what changes them waits with its last step. For a forward
  // pass; the thread that holds it calls no function but Layer().
  Reading BeginReading() const;
  const std::byte* Layer(const StoredBlock& block, const BlockFormat& format, size_t layer) const;
  // How often a page of the map could not be read (map_guard.h). If that has changed since before Layer() was
  // called, what its addresses hold means nothing; the block that it was is left out from then on.
  uint64_t NumReadFailures() const;
  bool IsEncrypted() const;
  Status Summaries(const StoredBlock& block, const BlockFormat& format, std::span<std::byte> summaries) const;
  Result<std::vector<int32_t>> Tokens(const StoredBlock& block) const;
  // All that is stored of a listed block, copied to `tokens` [kBlockTokens], `layers` [num_layers] and
  // `summaries`, its sums compared. No use of it; a damaged block (kCorrupt) stays.
  Status Copy(const StoredBlock& block, const BlockFormat& format, std::span<int32_t> tokens,
              std::span<std::byte* const> layers, std::span<std::byte> summaries) const;

  // Keeps blocks (a namespace's, all of them) from being removed for room.
  Status Pin(std::string_view name_space, bool pinned);
  // Removes a namespace's blocks for good: afterwards no file holds a trace of them.
  Status Erase(std::string_view name_space);
  // Removes those blocks of passages that `removes` is true for, and returns how many. With `erase` no file
  // holds a trace of them afterwards, nor of any removed earlier.
  using PassageFilter =
      std::function<bool(const BlockFormat& format, const Hash128& passage, const Hash128& id)>;
  Result<size_t> RemovePassages(std::string_view name_space, const PassageFilter& removes, bool erase);
  // Rewrites the database without gaps and moves blocks into the fewest slots, so that StoredBlocks of before
  // are no longer valid; says how many bytes came free.
  Result<uint64_t> Compact();

  BlockStoreStats Stats() const;
  // Reads every block and compares every sum. Changes nothing. `progress(done, of)` may be null; false stops.
  Result<BlockStoreReport> Verify(const std::function<bool(uint64_t done, uint64_t total)>& progress) const;

 private:
  struct State;
  explicit BlockStore(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace qwen25

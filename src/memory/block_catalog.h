// The index of a block store: an LMDB database that says which block is in which slot, with all of its
// content in RAM. Format: docs/formats/kv_blocks.md.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/status.h"
#include "memory/block_format.h"
#include "store/cipher.h"
#include "store/lmdb.h"

namespace qwen25 {

// Namespaces and formats are numbered in order of creation; a number is never reused.
struct BlockKey {
  uint32_t name_space = 0;
  uint32_t format = 0;
  Hash128 id;

  bool operator==(const BlockKey&) const = default;
};
struct BlockKeyHasher {
  size_t operator()(const BlockKey& key) const {
    return static_cast<size_t>(key.id.low +
                               (uint64_t{key.name_space} << 32 | key.format) * 0x9e3779b97f4a7c15u);
  }
};

struct BlockEntry {
  BlockKey key;
  Hash128 parent;
  uint32_t position = 0;
  uint32_t slot = 0;
  uint64_t sequence = 0;
  uint64_t last_used = 0;  // on the store's clock, which counts calls (Tick)
  uint32_t num_uses = 0;   // since the block was stored
  // Any thread may set these two.
  std::atomic<bool> touched = false;                // read through the map since uses were last counted
  std::unique_ptr<std::atomic<uint8_t>[]> checked;  // [num_layers] State::CheckMark; 0: not checked
};

class BlockCatalog {
 public:
  struct Namespace {
    std::string name;
    bool pinned = false;
  };
  // Everything that one transaction changes. The slots of added entries are already written.
  struct Change {
    std::vector<std::unique_ptr<BlockEntry>> added;
    std::vector<BlockEntry*> removed;
    std::vector<std::pair<BlockEntry*, uint32_t>> moved;  // with their new slots
    std::map<uint32_t, Namespace> namespaces;             // new ones, and those whose `pinned` changes
    std::vector<uint32_t> removed_namespaces;
    std::map<uint32_t, BlockFormat> formats;
    std::vector<uint32_t> removed_formats;
    bool needs_compaction = false;  // removed records must leave no trace in the file
  };

  // `cipher` may be null (not encrypted) and must outlive the catalog. Errors: as BlockStore::Open.
  static Result<std::unique_ptr<BlockCatalog>> Open(const std::filesystem::path& folder, uint64_t max_bytes,
                                                    const Cipher* cipher);

  // Writes the change, and all unsaved use counts, to the database; an error leaves the database as it was.
  // Find and the accessors below do not see the change before Apply.
  Status Save(const Change& change);
  // Applies a saved change to the content in RAM.
  void Apply(Change change);
  // Save, then Apply.
  Status Commit(Change change);
  // Advances the clock. Every call that uses blocks begins with it.
  void Tick() { ++counters_.clock; }
  // Counts a use at the present tick. The next Save writes it.
  void Use(BlockEntry& entry);

  BlockEntry* Find(const BlockKey& key) const;
  std::optional<uint32_t> FindNamespace(std::string_view name) const;
  std::optional<uint32_t> FindFormat(const BlockFormat& format) const;
  uint32_t next_namespace() const { return counters_.next_namespace; }
  uint32_t next_format() const { return counters_.next_format; }
  uint64_t next_sequence() const { return counters_.sequence; }
  uint64_t clock() const { return counters_.clock; }

  const std::map<uint32_t, Namespace>& namespaces() const { return namespaces_; }
  const std::map<uint32_t, BlockFormat>& formats() const { return formats_; }
  const std::unordered_map<BlockKey, std::unique_ptr<BlockEntry>, BlockKeyHasher>& entries() const {
    return entries_;
  }

  // Rewrites the database file without removed records.
  Status Compact();
  uint64_t FileBytes() const { return database_.FileBytes(); }
  // An upper bound, in bytes, of what the file grows by in a transaction that adds `num_added` blocks,
  // removes `num_removed` and writes the unsaved uses.
  uint64_t GrowthBound(uint64_t num_added, uint64_t num_removed) const;
  bool HasUnsaved() const { return !unsaved_.empty() || !damaged_.empty() || key_check_is_damaged_; }
  // Damage found by Open, one line each. Damaged records are not loaded, and the next Save deletes them.
  const std::vector<std::string>& damage() const { return damage_; }
  const std::string& path() const { return database_.path(); }

 private:
  struct Counters {
    uint64_t clock = 1;
    uint64_t sequence = 1;
    uint32_t next_namespace = 1;
    uint32_t next_format = 1;
    uint32_t needs_compaction = 0;
    uint32_t zero = 0;
  };

  BlockCatalog(std::filesystem::path folder, const Cipher* cipher, LmdbEnvironment database)
      : folder_(std::move(folder)), cipher_(cipher), database_(std::move(database)) {}
  static Status Create(const std::filesystem::path& folder, const Cipher* cipher);
  Status CheckVersionAndKey(const LmdbTransaction& transaction);
  // Whether the key decrypts any record.
  bool OpensAny(const LmdbTransaction& transaction) const;
  Status Load();
  // Each returns false for a damaged record.
  bool LoadNamespace(LmdbBytes key, LmdbBytes value);
  bool LoadFormat(LmdbBytes key, LmdbBytes value);
  bool LoadBlock(LmdbBytes key, LmdbBytes value);
  Status Write(LmdbTransaction& transaction, const Change& change, const Counters& counters) const;
  Status WriteBlock(LmdbTransaction& transaction, const BlockEntry& entry, uint32_t slot) const;

  std::filesystem::path folder_;
  const Cipher* cipher_;
  LmdbEnvironment database_;
  Counters counters_;
  std::map<uint32_t, Namespace> namespaces_;
  std::map<uint32_t, BlockFormat> formats_;
  std::unordered_map<BlockKey, std::unique_ptr<BlockEntry>, BlockKeyHasher> entries_;
  std::set<BlockEntry*> unsaved_;  // their uses are newer than the database's
  std::vector<std::pair<LmdbTable, std::vector<std::byte>>> damaged_;  // keys of damaged records
  bool key_check_is_damaged_ = false;
  std::vector<std::string> damage_;
};

}  // namespace qwen25

// Which blocks there are and where: the database of a block store, and its content in RAM.
// docs/formats/kv_blocks.md
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

// Namespaces and formats are numbered in the order in which they came; numbers are not used again.
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
  uint64_t last_used = 0;  // on the clock of the store, which counts its calls
  uint32_t num_uses = 0;   // after it was stored
  // What several threads may set: read since the last Put, and the layers whose sums were found right, with
  // the count of then of what could not be read (BlockStore::State::CheckMark).
  std::atomic<bool> touched = false;
  std::unique_ptr<std::atomic<uint8_t>[]> checked;  // [num_layers]
};

class BlockCatalog {
 public:
  struct Namespace {
    std::string name;
    bool pinned = false;
  };
  // Everything that one transaction changes. Added entries have their slots written already.
  struct Change {
    std::vector<std::unique_ptr<BlockEntry>> added;
    std::vector<BlockEntry*> removed;
    std::vector<std::pair<BlockEntry*, uint32_t>> moved;  // to another slot
    std::map<uint32_t, Namespace> namespaces;             // new, or with another `pinned`
    std::vector<uint32_t> removed_namespaces;
    std::map<uint32_t, BlockFormat> formats;
    std::vector<uint32_t> removed_formats;
    bool needs_compaction = false;  // what it removes must leave no trace
  };

  // `cipher` may be null, and must live as long as the catalog. Errors as for BlockStore::Open.
  static Result<std::unique_ptr<BlockCatalog>> Open(const std::filesystem::path& folder, uint64_t max_bytes,
                                                    const Cipher* cipher);

  // Writes the change together with all new use counts to the database. On an error nothing is changed. It
  // changes nothing that Find and the functions after it tell.
  Status Save(const Change& change);
  // Makes a change here that was saved.
  void Apply(Change change);
  // Both.
  Status Commit(Change change);
  // A call that uses blocks begins with it.
  void Tick() { ++counters_.clock; }
  // Counts a use now. It is written with the next Commit.
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

  // Rewrites the database without what was removed.
  Status Compact();
  uint64_t FileBytes() const { return database_.FileBytes(); }
  // An upper bound of what a transaction adds to the file that adds `num_added` blocks, removes `num_removed`
  // and saves what is unsaved.
  uint64_t GrowthBound(uint64_t num_added, uint64_t num_removed) const;
  bool HasUnsaved() const { return !unsaved_.empty() || !damaged_.empty() || key_check_is_damaged_; }
  // What was wrong with single records when it was opened, a line each. What they named is not there, and
  // they go with the next Save.
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
  // Whether the key opens any record.
  bool OpensAny(const LmdbTransaction& transaction) const;
  Status Load();
  // These return whether the record is sound.
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
  std::set<BlockEntry*> unsaved_;                                      // with newer uses than in the database
  std::vector<std::pair<LmdbTable, std::vector<std::byte>>> damaged_;  // keys of damaged records
  bool key_check_is_damaged_ = false;
  std::vector<std::string> damage_;
};

}  // namespace qwen25

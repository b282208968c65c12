// A wrapper of LMDB that returns Status: one file with a few named tables, and transactions that survive a
// power loss.
#pragma once

#include <lmdb.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"

namespace qwen25 {

// Index of a table in the names given to LmdbEnvironment::Open.
using LmdbTable = size_t;
using LmdbBytes = std::span<const std::byte>;

// A transaction, undone unless committed. The bytes that it returns lie in the map, and are valid until it
// writes or ends.
class LmdbTransaction {
 public:
  LmdbTransaction(LmdbTransaction&& other) noexcept
      : transaction_(std::exchange(other.transaction_, nullptr)),
        tables_(other.tables_),
        path_(other.path_) {}
  LmdbTransaction& operator=(LmdbTransaction&&) = delete;
  ~LmdbTransaction();

  // Nothing if the key is not there.
  Result<std::optional<LmdbBytes>> Get(LmdbTable table, LmdbBytes key) const;
  // Adds or replaces.
  Status Put(LmdbTable table, LmdbBytes key, LmdbBytes value);
  // OK also if the key is not there.
  Status Delete(LmdbTable table, LmdbBytes key);
  // Visits all entries in byte order of their keys. Stops at the first error and returns it.
  Status ForEach(LmdbTable table, const std::function<Status(LmdbBytes key, LmdbBytes value)>& visit) const;
  // Once it returns OK, the changes are on disk.
  Status Commit();

 private:
  friend class LmdbEnvironment;
  LmdbTransaction(MDB_txn* transaction, const std::vector<MDB_dbi>* tables, const std::string* path)
      : transaction_(transaction), tables_(tables), path_(path) {}

  MDB_txn* transaction_;
  const std::vector<MDB_dbi>* tables_;
  const std::string* path_;
};

// One open database file. There is no lock file: the caller must ensure that nobody else has it open
// (FolderLock). One transaction at a time.
class LmdbEnvironment {
 public:
  // Opens the file and its tables, and creates what is missing. The file can grow to `map_bytes`, which takes
  // address space, but no memory. kCorrupt for a file that is not a valid LMDB file: all of its pages are
  // checked first (lmdb_check.h), since LMDB trusts them.
  static Result<LmdbEnvironment> Open(const std::filesystem::path& path, uint64_t map_bytes,
                                      std::span<const char* const> tables);
  LmdbEnvironment(LmdbEnvironment&&) = default;
  LmdbEnvironment& operator=(LmdbEnvironment&&) = default;

  Result<LmdbTransaction> BeginRead() const { return Begin(MDB_RDONLY); }
  Result<LmdbTransaction> BeginWrite() { return Begin(0); }

  // Replaces the file by a copy without free pages and the remains in them. The copy is first written to
  // `temporary`, a path in the same folder, which is overwritten.
  Status Compact(const std::filesystem::path& temporary);
  uint64_t FileBytes() const;
  const std::string& path() const { return *path_; }

 private:
  struct Close {
    void operator()(MDB_env* environment) const { mdb_env_close(environment); }
  };
  LmdbEnvironment() = default;
  Result<LmdbTransaction> Begin(unsigned flags) const;
  Status OpenFile();

  std::unique_ptr<MDB_env, Close> environment_;
  // Transactions point to these two.
  std::unique_ptr<std::string> path_;
  std::unique_ptr<std::vector<MDB_dbi>> tables_;
  std::vector<std::string> names_;
  uint64_t map_bytes_ = 0;
};

}  // namespace qwen25

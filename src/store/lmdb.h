// LMDB behind Status: one file with a few named tables, transactions that survive a power loss.
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

// Which of the names that LmdbEnvironment::Open was given, counted from 0.
using LmdbTable = size_t;
using LmdbBytes = std::span<const std::byte>;

// All or nothing: undone unless committed. What it gives out lies in the map and is valid until it ends or
// writes.
class LmdbTransaction {
 public:
  LmdbTransaction(LmdbTransaction&& other) noexcept
      : transaction_(std::exchange(other.transaction_, nullptr)),
        tables_(other.tables_),
        path_(other.path_) {}
  LmdbTransaction& operator=(LmdbTransaction&&) = delete;
  ~LmdbTransaction();

  // Nothing where the key is not there.
  Result<std::optional<LmdbBytes>> Get(LmdbTable table, LmdbBytes key) const;
  // Adds or replaces.
  Status Put(LmdbTable table, LmdbBytes key, LmdbBytes value);
  // OK where the key is not there.
  Status Delete(LmdbTable table, LmdbBytes key);
  // In the order of the keys' bytes. Stops at the first error.
  Status ForEach(LmdbTable table, const std::function<Status(LmdbBytes key, LmdbBytes value)>& visit) const;
  // When it returns OK, the changes are on disk.
  Status Commit();

 private:
  friend class LmdbEnvironment;
  LmdbTransaction(MDB_txn* transaction, const std::vector<MDB_dbi>* tables, const std::string* path)
      : transaction_(transaction), tables_(tables), path_(path) {}

  MDB_txn* transaction_;
  const std::vector<MDB_dbi>* tables_;
  const std::string* path_;
};

// One open database file. The caller sees to it that nobody else has it open (FolderLock): there is no lock
// file. One transaction at a time.
class LmdbEnvironment {
 public:
  // Opens the file, or creates it where it is missing, with its tables. It can grow to `map_bytes`, and takes
  // address space for that, but no memory. kCorrupt for a file that is not a sound LMDB file: all of its
  // pages are checked first (lmdb_check.h), since LMDB trusts them.
  static Result<LmdbEnvironment> Open(const std::filesystem::path& path, uint64_t map_bytes,
                                      std::span<const char* const> tables);
  LmdbEnvironment(LmdbEnvironment&&) = default;
  LmdbEnvironment& operator=(LmdbEnvironment&&) = default;

  Result<LmdbTransaction> BeginRead() const { return Begin(MDB_RDONLY); }
  Result<LmdbTransaction> BeginWrite() { return Begin(0); }

  // Writes the content anew, without free pages and what they still hold, and replaces the file by that.
  // `temporary`, in the same folder, must not be in use.
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

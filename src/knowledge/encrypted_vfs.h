// SQLite's files, encrypted page by page: docs/formats/encrypted_notes.md.
#pragma once

#include <sqlite3.h>

#include <filesystem>
#include <memory>
#include <string>

#include "base/status.h"
#include "store/cipher.h"

namespace qwen25 {

// Whether the database at `path` may be opened with `cipher` (null: without a key). kInvalidArgument where it
// is encrypted and there is no key, if it is not and there is one, and if the key is another. A file
// that is missing or empty suits both.
Status CheckDatabaseKey(const std::filesystem::path& path, const Cipher* cipher);

// A VFS over the system's (sqlite.org/vfs.html), registered under a name of its own as long as it lives and
// meant for one connection: so the key is in neither a URI nor a variable that all share. It seals what is
// written to the database and to its write-ahead log, and opens what is read. Other files are not made: the
// connection must keep its temporary tables in memory, and its journal must be the write-ahead log. A
// rollback journal, which SQLite uses once, for the first page of a new file, stays empty.
class EncryptedVfs {
 public:
  // `base`: the name of the VFS that it stands on; null: the system's default.
  static Result<std::unique_ptr<EncryptedVfs>> Register(const Cipher& cipher, const char* base = nullptr);
  // The connection must be closed.
  ~EncryptedVfs();
  EncryptedVfs(const EncryptedVfs&) = delete;
  EncryptedVfs& operator=(const EncryptedVfs&) = delete;

  const char* name() const { return name_.c_str(); }
  // The last thing that could not be decrypted; empty while there is none. SQLite is told SQLITE_CORRUPT.
  const std::string& damage() const { return damage_; }

 private:
  class File;

  explicit EncryptedVfs(const Cipher& cipher) : cipher_(cipher) {}
  void OverrideBase();
  template <auto kMethod, typename... Arguments>
  static int Pass(sqlite3_vfs* vfs, Arguments... arguments) {
    sqlite3_vfs* base = static_cast<EncryptedVfs*>(vfs->pAppData)->base_;
    return (base->*kMethod)(base, arguments...);
  }

  const Cipher cipher_;
  std::string name_, damage_;
  sqlite3_vfs* base_ = nullptr;
  sqlite3_vfs vfs_ = {};
};

}  // namespace qwen25

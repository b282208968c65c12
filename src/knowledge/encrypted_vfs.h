// SQLite's files, encrypted page by page: docs/formats/encrypted_notes.md.
#pragma once

#include <sqlite3.h>

#include <filesystem>
#include <memory>
#include <string>

#include "base/status.h"
#include "store/cipher.h"

namespace qwen25 {

// Whether the database at `path` may be opened with `cipher` (null: without a key). kInvalidArgument if it is
// encrypted and there is no key, if it is plain and there is one, and if the key is another one; with a key,
// kCorrupt if it is not a database of either kind; kUnsupported for another version of the encryption. A file
// that is missing or empty may be opened either way.
Status CheckDatabaseKey(const std::filesystem::path& path, const Cipher* cipher);

// A layer over the system's VFS (sqlite.org/vfs.html), registered under its own name while it lives. It
// serves one connection, so that the key is in neither a URI nor a shared variable. It encrypts what is
// written to the database and to its write-ahead log, and decrypts what is read. It creates no other file:
// the connection must keep temporary tables in memory and use the write-ahead log. SQLite uses a rollback
// journal once, for the first page of a new file; that one stays empty.
class EncryptedVfs {
 public:
  // `base`: the name of the VFS below; null: the system's default. kUnsupported if there is none.
  static Result<std::unique_ptr<EncryptedVfs>> Register(const Cipher& cipher, const char* base = nullptr);
  // The connection must be closed.
  ~EncryptedVfs();
  EncryptedVfs(const EncryptedVfs&) = delete;
  EncryptedVfs& operator=(const EncryptedVfs&) = delete;

  const char* name() const { return name_.c_str(); }
  // The last thing that could not be decrypted, in words; empty if there was none. SQLite gets SQLITE_CORRUPT
  // for it.
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

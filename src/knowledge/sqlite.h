// SQLite with Status for errors: a connection, prepared statements, transactions. Full-text tables have the
// function of word_rank.h.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/status.h"
#include "knowledge/encrypted_vfs.h"

namespace qwen25 {

// The file of a connection, which messages name.
struct DatabaseSource {
  std::string path;
  std::unique_ptr<EncryptedVfs> vfs;  // null: the file is not encrypted
  bool read_only = false;
};

// One prepared statement. Parameters count from 1, columns from 0, as in SQLite. Binding a parameter resets a
// statement that has rows left.
class Statement {
 public:
  Statement& Bind(int index, int64_t value);
  // `text` (below: `bytes`) must stay valid until the statement has run.
  Statement& Bind(int index, std::string_view text);
  Statement& BindBlob(int index, std::span<const std::byte> bytes);
  Statement& BindNull(int index);

  // True if there is a row to read; false if the statement is done, and ready for new parameters.
  Result<bool> Step();
  // Runs a statement that gives no rows.
  Status Run();

  int64_t Int(int column) const { return sqlite3_column_int64(statement_.get(), column); }
  double Double(int column) const { return sqlite3_column_double(statement_.get(), column); }
  bool IsNull(int column) const { return sqlite3_column_type(statement_.get(), column) == SQLITE_NULL; }
  // Valid until the next Step.
  std::string_view Text(int column) const;
  std::span<const std::byte> Blob(int column) const;

 private:
  friend class Database;
  Statement(sqlite3_stmt* statement, const DatabaseSource* source) : statement_(statement), source_(source) {}

  void MakeReady();

  struct Finalize {
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
  };
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
  const DatabaseSource* source_;
};

// One connection; movable, used by one thread at a time. It must outlive its statements.
class Database {
 public:
  // Opens the file, or creates it. Waits at most `busy_milliseconds` for another writer. What is committed is
  // on disk (write-ahead log, synchronous=FULL), and deleted content is overwritten (secure_delete). With a
  // cipher, everything is written encrypted. Errors of CheckDatabaseKey; kIo, kCorrupt.
  //
  // A file that exists and cannot be written to (permissions of file or folder, medium) is opened for
  // reading, with the content of its log, whether or not another process has it open.
  static Result<Database> Open(const std::filesystem::path& path, int busy_milliseconds,
                               const Cipher* cipher = nullptr);
  Database(Database&&) noexcept = default;
  Database& operator=(Database&&) = delete;  // would release the source before the connection

  // One or more statements without parameters.
  Status Execute(const std::string& sql);
  Result<Statement> Prepare(const std::string& sql);
  int64_t last_insert_id() const { return sqlite3_last_insert_rowid(connection_.get()); }
  int64_t num_changes() const { return sqlite3_changes64(connection_.get()); }
  // The first column of the first row; `fallback` if there is none or it is NULL.
  Result<int64_t> QueryInt(const std::string& sql, int64_t fallback = 0);
  const std::string& path() const { return source_->path; }
  bool read_only() const { return source_->read_only; }
  // What could not be decrypted in an encrypted file; empty if there was nothing.
  std::string damage() const { return source_->vfs ? source_->vfs->damage() : std::string(); }

 private:
  enum class Access {
    kWrite,
    kRead,
    kReadAlone,  // without locks and shared memory, which need files in the folder
    kReadFixed,  // the file alone, taken as immutable: there is no log
  };
  static Result<Database> OpenAs(Access access, const std::filesystem::path& path, int busy_milliseconds,
                                 const Cipher* cipher);
  // Of several processes that open a new database at once, all but one are refused the change to a
  // write-ahead log; SQLite does not wait there by itself.
  Status StartLog(int busy_milliseconds);
  Status PrepareForWriting(int busy_milliseconds, const Cipher* cipher);

  struct Close {
    void operator()(sqlite3* connection) const { sqlite3_close_v2(connection); }
  };
  Database(sqlite3* connection, std::unique_ptr<DatabaseSource> source)
      : source_(std::move(source)), connection_(connection) {}
  Status PrepareEncryption();

  std::unique_ptr<DatabaseSource> source_;  // statements point to it; outlives the connection
  std::unique_ptr<sqlite3, Close> connection_;
};

// All or nothing: rolled back unless committed. Takes the write lock when it begins. kIo if the database can
// only be read.
class Transaction {
 public:
  static Result<Transaction> Begin(Database& database);
  Transaction(Transaction&& other) noexcept : database_(std::exchange(other.database_, nullptr)) {}
  Transaction& operator=(Transaction&&) = delete;
  ~Transaction();
  Status Commit();

 private:
  explicit Transaction(Database* database) : database_(database) {}
  Database* database_;
};

}  // namespace qwen25

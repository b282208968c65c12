#include "store/lmdb.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/file.h"
#include "store/lmdb_check.h"

namespace qwen25 {
namespace {

// LMDB's error as a Status. Positive codes are errno values.
Status LmdbStatus(int code, const std::string& action, const std::string& path) {
  switch (code) {
    case MDB_INVALID:
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_PANIC:
    case MDB_INCOMPATIBLE:
      return Corrupt("{}: is not a valid LMDB database (cannot {}: {}); restore it from a backup", path,
                     action, mdb_strerror(code));
    case MDB_VERSION_MISMATCH:
      return Unsupported(
          "{}: was written by another version of LMDB than {}.{}; use the program that wrote it", path,
          MDB_VERSION_MAJOR, MDB_VERSION_MINOR);
    case MDB_MAP_FULL:
      return ResourceExhausted("{}: cannot {}: the database has reached its largest size; raise the limit",
                               path, action);
    case EACCES:
    case EROFS:
    case EPERM:
      return {StatusCode::kIo, fmt::format("{}: cannot {}: the file or its folder is read-only ({}); choose "
                                           "a folder that this user may write to",
                                           path, action, mdb_strerror(code))};
    default:
      if (code > 0) return ErrnoStatus(code, action, path);
      return {StatusCode::kIo, fmt::format("{}: cannot {}: {}", path, action, mdb_strerror(code))};
  }
}

MDB_val ToValue(LmdbBytes bytes) {
  return {bytes.size(), const_cast<std::byte*>(bytes.data())};
}

LmdbBytes ToBytes(const MDB_val& value) {
  return {static_cast<const std::byte*>(value.mv_data), value.mv_size};
}

Status WasClosed(const std::string& path) {
  return {StatusCode::kIo, fmt::format("{}: was closed by an earlier error; open it anew", path)};
}

Status SyncFile(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return ErrnoStatus(errno, "open", path);
  const int failed = ::fsync(descriptor);
  const int error_number = errno;
  ::close(descriptor);
  return failed ? ErrnoStatus(error_number, "flush", path) : Status();
}

}  // namespace

LmdbTransaction::~LmdbTransaction() {
  if (transaction_ != nullptr) mdb_txn_abort(transaction_);
}

Result<std::optional<LmdbBytes>> LmdbTransaction::Get(LmdbTable table, LmdbBytes key) const {
  MDB_val name = ToValue(key), value;
  const int code = mdb_get(transaction_, tables_->at(table), &name, &value);
  if (code == MDB_NOTFOUND) return std::optional<LmdbBytes>();
  if (code != 0) return LmdbStatus(code, "read", *path_);
  return std::optional(ToBytes(value));
}

Status LmdbTransaction::Put(LmdbTable table, LmdbBytes key, LmdbBytes value) {
  MDB_val name = ToValue(key), content = ToValue(value);
  const int code = mdb_put(transaction_, tables_->at(table), &name, &content, 0);
  return code == 0 ? Status() : LmdbStatus(code, "write", *path_);
}

Status LmdbTransaction::Delete(LmdbTable table, LmdbBytes key) {
  MDB_val name = ToValue(key);
  const int code = mdb_del(transaction_, tables_->at(table), &name, nullptr);
  return code == 0 || code == MDB_NOTFOUND ? Status() : LmdbStatus(code, "remove from", *path_);
}

Status LmdbTransaction::ForEach(LmdbTable table,
                                const std::function<Status(LmdbBytes key, LmdbBytes value)>& visit) const {
  MDB_cursor* opened = nullptr;
  if (const int code = mdb_cursor_open(transaction_, tables_->at(table), &opened); code != 0) {
    return LmdbStatus(code, "read", *path_);
  }
  const std::unique_ptr<MDB_cursor, decltype(&mdb_cursor_close)> cursor(opened, &mdb_cursor_close);
  while (true) {
    MDB_val key, value;
    const int code = mdb_cursor_get(cursor.get(), &key, &value, MDB_NEXT);
    if (code == MDB_NOTFOUND) return {};
    if (code != 0) return LmdbStatus(code, "read", *path_);
    QWEN25_RETURN_IF_ERROR(visit(ToBytes(key), ToBytes(value)));
  }
}

Status LmdbTransaction::Commit() {
  const int code = mdb_txn_commit(std::exchange(transaction_, nullptr));
  return code == 0 ? Status() : LmdbStatus(code, "write", *path_);
}

Result<LmdbEnvironment> LmdbEnvironment::Open(const std::filesystem::path& path, uint64_t map_bytes,
                                              std::span<const char* const> tables) {
  LmdbEnvironment environment;
  environment.path_ = std::make_unique<std::string>(path.string());
  environment.names_.assign(tables.begin(), tables.end());
  environment.map_bytes_ = map_bytes;
  std::error_code ignored;
  if (std::filesystem::file_size(path, ignored) > 0 && std::filesystem::exists(path, ignored)) {
    // Read, not mapped: a failing disk then gives an error, and LMDB's own map finds the pages in the cache.
    QWEN25_TRY(const std::string file, ReadFile(path));
    QWEN25_RETURN_IF_ERROR(CheckLmdbFile(std::as_bytes(std::span(file)), *environment.path_));
  }
  QWEN25_RETURN_IF_ERROR(environment.OpenFile());
  return environment;
}

Status LmdbEnvironment::OpenFile() {
  MDB_env* created = nullptr;
  if (const int code = mdb_env_create(&created); code != 0) return LmdbStatus(code, "open", *path_);
  std::unique_ptr<MDB_env, Close> environment(created);
  mdb_env_set_maxdbs(created, static_cast<MDB_dbi>(names_.size()));
  int code = mdb_env_set_mapsize(created, map_bytes_);
  if (code == 0) code = mdb_env_open(created, path_->c_str(), MDB_NOSUBDIR | MDB_NOLOCK, 0644);
  if (code != 0) return LmdbStatus(code, "open", *path_);
  environment_ = std::move(environment);
  tables_ = std::make_unique<std::vector<MDB_dbi>>();
  QWEN25_TRY(LmdbTransaction transaction, BeginWrite());
  for (const std::string& name : names_) {
    MDB_dbi table = 0;
    code = mdb_dbi_open(transaction.transaction_, name.c_str(), MDB_CREATE, &table);
    if (code != 0) return LmdbStatus(code, "open table " + name + " of", *path_);
    tables_->push_back(table);
  }
  return transaction.Commit();
}

Result<LmdbTransaction> LmdbEnvironment::Begin(unsigned flags) const {
  if (environment_ == nullptr) return WasClosed(*path_);
  MDB_txn* transaction = nullptr;
  const int code = mdb_txn_begin(environment_.get(), nullptr, flags, &transaction);
  if (code != 0) return LmdbStatus(code, "begin a transaction in", *path_);
  return LmdbTransaction(transaction, tables_.get(), path_.get());
}

Status LmdbEnvironment::Compact(const std::filesystem::path& temporary) {
  if (environment_ == nullptr) return WasClosed(*path_);
  std::error_code ignored;
  std::filesystem::remove(temporary, ignored);
  const std::string copy = temporary.string();
  Status status;
  if (const int code = mdb_env_copy2(environment_.get(), copy.c_str(), MDB_CP_COMPACT); code != 0) {
    status = LmdbStatus(code, "write", copy);
  }
  if (status.ok()) status = SyncFile(copy);
  if (!status.ok()) {
    std::filesystem::remove(temporary, ignored);
    return status;
  }
  environment_.reset();
  if (::rename(copy.c_str(), path_->c_str()) != 0) {
    status = ErrnoStatus(errno, "rename to its final name", copy);
  } else {
    status = SyncDirectory(temporary.parent_path());
  }
  QWEN25_RETURN_IF_ERROR(OpenFile());
  return status;
}

uint64_t LmdbEnvironment::FileBytes() const {
  struct stat info {};
  return ::stat(path_->c_str(), &info) == 0 ? static_cast<uint64_t>(info.st_size) : 0;
}

}  // namespace qwen25

#include "knowledge/sqlite.h"

#include <unistd.h>

#include <cctype>
#include <chrono>
#include <thread>

#include "base/clock.h"
#include "knowledge/sealed_page.h"
#include "knowledge/word_rank.h"

namespace qwen25 {
namespace {

// SQLite's error on `connection` as a Status.
Status SqliteStatus(sqlite3* connection, int code, const DatabaseSource& source, std::string_view action) {
  const char* message = connection != nullptr ? sqlite3_errmsg(connection) : sqlite3_errstr(code);
  if ((code & 0xFF) == SQLITE_CORRUPT && source.vfs && !source.vfs->damage().empty()) {
    message = source.vfs->damage().c_str();
  }
  const std::string& path = source.path;
  switch (code & 0xFF) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return Corrupt(
          "{}: is not a valid SQLite database ({}: {}); restore it from a backup or an export (`qwen25 "
          "memory export`), or move it away to start anew",
          path, action, message);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return ResourceExhausted("{}: another process is writing to it ({}); try again when it is done", path,
                               action);
    case SQLITE_FULL:
      return ResourceExhausted("{}: the disk is full ({}); what was committed before is safe", path, action);
    case SQLITE_READONLY:
      return {StatusCode::kIo,
              fmt::format("{}: cannot write, the file or its folder is read-only ({})", path, action)};
    case SQLITE_CANTOPEN:
      return {StatusCode::kIo,
              fmt::format("{}: cannot open or create the file ({}: {})", path, action, message)};
    default:
      return {StatusCode::kIo, fmt::format("{}: {} failed: {}", path, action, message)};
  }
}

bool CanOnlyBeRead(const std::filesystem::path& path) {
  const std::string folder = path.has_parent_path() ? path.parent_path().string() : ".";
  return ::access(path.c_str(), F_OK) == 0 &&
         (::access(path.c_str(), W_OK) != 0 || ::access(folder.c_str(), W_OK | X_OK) != 0);
}

// Tells SQLite that nobody changes the file (https://www.sqlite.org/uri.html).
std::string FixedFileUri(const std::filesystem::path& path) {
  std::string uri = "file:";
  for (const char c : std::filesystem::absolute(path).string()) {
    const bool plain = std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '/' || c == '-' || c == '_';
    uri += plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return uri + "?immutable=1";
}

}  // namespace

void Statement::MakeReady() {
  if (sqlite3_stmt_busy(statement_.get()) != 0) sqlite3_reset(statement_.get());
}

Statement& Statement::Bind(int index, int64_t value) {
  MakeReady();
  QWEN25_CHECK(sqlite3_bind_int64(statement_.get(), index, value) == SQLITE_OK);
  return *this;
}

Statement& Statement::Bind(int index, std::string_view text) {
  MakeReady();
  // A null pointer would bind NULL.
  const char* data = text.data() == nullptr ? "" : text.data();
  QWEN25_CHECK(sqlite3_bind_text64(statement_.get(), index, data, text.size(), SQLITE_STATIC, SQLITE_UTF8) ==
               SQLITE_OK);
  return *this;
}

Statement& Statement::BindBlob(int index, std::span<const std::byte> bytes) {
  MakeReady();
  QWEN25_CHECK(sqlite3_bind_blob64(statement_.get(), index, bytes.data(), bytes.size(), SQLITE_STATIC) ==
               SQLITE_OK);
  return *this;
}

Statement& Statement::BindNull(int index) {
  MakeReady();
  QWEN25_CHECK(sqlite3_bind_null(statement_.get(), index) == SQLITE_OK);
  return *this;
}

Result<bool> Statement::Step() {
  const int code = sqlite3_step(statement_.get());
  if (code == SQLITE_ROW) return true;
  Status status;
  if (code != SQLITE_DONE) {
    sqlite3* connection = sqlite3_db_handle(statement_.get());
    const std::string_view sql = sqlite3_sql(statement_.get());
    status = SqliteStatus(connection, code, *source_, sql.substr(0, sql.find_first_of("(\n")));
  }
  sqlite3_reset(statement_.get());
  if (!status.ok()) return status;
  return false;
}

Status Statement::Run() {
  QWEN25_TRY(const bool row, Step());
  if (row) sqlite3_reset(statement_.get());
  return {};
}

std::string_view Statement::Text(int column) const {
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement_.get(), column));
  return {text == nullptr ? "" : text, static_cast<size_t>(sqlite3_column_bytes(statement_.get(), column))};
}

std::span<const std::byte> Statement::Blob(int column) const {
  const void* data = sqlite3_column_blob(statement_.get(), column);
  return {static_cast<const std::byte*>(data),
          static_cast<size_t>(sqlite3_column_bytes(statement_.get(), column))};
}

Result<Database> Database::Open(const std::filesystem::path& path, int busy_milliseconds,
                                const Cipher* cipher) {
  QWEN25_RETURN_IF_ERROR(CheckDatabaseKey(path, cipher));
  if (!CanOnlyBeRead(path)) return OpenAs(Access::kWrite, path, busy_milliseconds, cipher);
  // While a process that may write has the database open, the log's index is in a file that can be read.
  // Otherwise SQLite would have to create that file; in exclusive mode it keeps the index in memory.
  Result<Database> shared = OpenAs(Access::kRead, path, busy_milliseconds, cipher);
  if (shared.ok() || shared.status().code() == StatusCode::kCorrupt) return shared;
  // Usually, the last process to close the database removed the log. SQLite would create a new one.
  std::filesystem::path log = path;
  log += "-wal";
  std::error_code ignored;
  const bool has_log = std::filesystem::exists(log, ignored);
  return OpenAs(has_log ? Access::kReadAlone : Access::kReadFixed, path, busy_milliseconds, cipher);
}

Result<Database> Database::OpenAs(Access access, const std::filesystem::path& path, int busy_milliseconds,
                                  const Cipher* cipher) {
  auto source = std::make_unique<DatabaseSource>();
  source->path = path.string();
  source->read_only = access != Access::kWrite;
  const char* vfs = access == Access::kReadAlone ? "unix-none" : nullptr;
  if (cipher != nullptr) {
    QWEN25_TRY(source->vfs, EncryptedVfs::Register(*cipher, vfs));
    vfs = source->vfs->name();
  }
  const int flags = source->read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
  sqlite3* connection = nullptr;
  const std::string name = access == Access::kReadFixed ? FixedFileUri(path) : path.string();
  const int uri = access == Access::kReadFixed ? SQLITE_OPEN_URI : 0;
  const int code = sqlite3_open_v2(name.c_str(), &connection, flags | uri | SQLITE_OPEN_NOMUTEX, vfs);
  Database database(connection, std::move(source));
  if (code != SQLITE_OK) return SqliteStatus(connection, code, *database.source_, "open");
  sqlite3_extended_result_codes(connection, 0);
  sqlite3_busy_timeout(connection, busy_milliseconds);
  if (access == Access::kReadAlone) {
    QWEN25_RETURN_IF_ERROR(database.Execute("PRAGMA locking_mode=EXCLUSIVE"));
  }
  if (cipher != nullptr) QWEN25_RETURN_IF_ERROR(database.PrepareEncryption());
  if (access == Access::kWrite) {
    QWEN25_RETURN_IF_ERROR(database.PrepareForWriting(busy_milliseconds, cipher));
  } else {
    QWEN25_RETURN_IF_ERROR(database.QueryInt("SELECT count(*) FROM sqlite_master").status());
  }
  QWEN25_RETURN_IF_ERROR(database.Execute("PRAGMA foreign_keys=ON; PRAGMA cache_size=-65536"));
  if (const int ranked = RegisterWordRank(database.connection_.get()); ranked != SQLITE_OK) {
    return SqliteStatus(database.connection_.get(), ranked, *database.source_, "adding the ranking to FTS5");
  }
  return database;
}

Status Database::StartLog(int busy_milliseconds) {
  const double end = NowSeconds() + busy_milliseconds / 1000.0;
  while (true) {
    const int code = sqlite3_exec(connection_.get(), "PRAGMA journal_mode=WAL", nullptr, nullptr, nullptr);
    if (code == SQLITE_OK) return {};
    if ((code & 0xFF) != SQLITE_BUSY || NowSeconds() >= end) {
      return SqliteStatus(connection_.get(), code, *source_, "PRAGMA journal_mode=WAL");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

Status Database::PrepareForWriting(int busy_milliseconds, const Cipher* cipher) {
  QWEN25_RETURN_IF_ERROR(StartLog(busy_milliseconds));
  QWEN25_RETURN_IF_ERROR(Execute("PRAGMA synchronous=FULL; PRAGMA secure_delete=ON"));
  if (cipher == nullptr) return {};
  QWEN25_TRY(Statement journal, Prepare("PRAGMA journal_mode"));
  QWEN25_TRY(const bool row, journal.Step());
  if (row && journal.Text(0) == "wal") return {};
  return Unsupported(
      "{}: encrypted notes need a write-ahead log, which SQLite cannot keep in this folder; put the memory "
      "on a local disk",
      path());
}

// The settings that EncryptedVfs requires.
Status Database::PrepareEncryption() {
  int reserved = kReservedPageBytes;
  const int code = sqlite3_file_control(connection_.get(), "main", SQLITE_FCNTL_RESERVE_BYTES, &reserved);
  if (code != SQLITE_OK) return SqliteStatus(connection_.get(), code, *source_, "reserve bytes of pages");
  return Execute(fmt::format("PRAGMA temp_store=MEMORY; PRAGMA page_size={}", kPageBytes));
}

Status Database::Execute(const std::string& sql) {
  const int code = sqlite3_exec(connection_.get(), sql.c_str(), nullptr, nullptr, nullptr);
  if (code == SQLITE_OK) return {};
  return SqliteStatus(connection_.get(), code, *source_, sql.substr(0, sql.find_first_of("(\n;")));
}

Result<Statement> Database::Prepare(const std::string& sql) {
  sqlite3_stmt* statement = nullptr;
  const int code =
      sqlite3_prepare_v2(connection_.get(), sql.c_str(), static_cast<int>(sql.size()), &statement, nullptr);
  if (code != SQLITE_OK) {
    return SqliteStatus(connection_.get(), code, *source_, sql.substr(0, sql.find_first_of("(\n;")));
  }
  return Statement(statement, source_.get());
}

Result<int64_t> Database::QueryInt(const std::string& sql, int64_t fallback) {
  QWEN25_TRY(Statement statement, Prepare(sql));
  QWEN25_TRY(const bool row, statement.Step());
  if (!row || statement.IsNull(0)) return fallback;
  return statement.Int(0);
}

Result<Transaction> Transaction::Begin(Database& database) {
  if (database.read_only()) {
    return Status(
        StatusCode::kIo,
        fmt::format("{}: the memory can only be read (its folder, its files or its medium): nothing "
                    "can be added, changed or forgotten there",
                    database.path()));
  }
  QWEN25_RETURN_IF_ERROR(database.Execute("BEGIN IMMEDIATE"));
  return Transaction(&database);
}

Transaction::~Transaction() {
  // After some errors SQLite has rolled back by itself, and ROLLBACK fails; nothing is left in either case.
  if (database_ != nullptr) static_cast<void>(database_->Execute("ROLLBACK"));
}

Status Transaction::Commit() {
  QWEN25_RETURN_IF_ERROR(database_->Execute("COMMIT"));
  database_ = nullptr;
  return {};
}

}  // namespace qwen25

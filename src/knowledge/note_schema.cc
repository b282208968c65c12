// Creates and upgrades the tables of the notes, and refills the full-text tables when the rules of terms have
// changed.
#include "knowledge/note_rows.h"
#include "knowledge/note_store.h"
#include "knowledge/search_terms.h"

namespace qwen25 {
namespace {

constexpr int64_t kSchemaVersion = 3;
// "q25n": tells `file` and other programs what the database is.
constexpr int64_t kApplicationId = 0x7132356E;
// The tables of version 1.
constexpr const char* kSchema = R"(
CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE namespaces (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE);
CREATE TABLE notes (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  namespace INTEGER NOT NULL REFERENCES namespaces (id),
  title TEXT NOT NULL, source TEXT NOT NULL, content_hash BLOB NOT NULL,
  created_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL, superseded_by INTEGER);
CREATE INDEX notes_by_content ON notes (namespace, content_hash);
CREATE INDEX notes_by_source ON notes (namespace, source);
CREATE TABLE tags (
  note INTEGER NOT NULL REFERENCES notes (id) ON DELETE CASCADE, tag TEXT NOT NULL,
  PRIMARY KEY (note, tag)) WITHOUT ROWID;
CREATE TABLE chunks (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  note INTEGER NOT NULL REFERENCES notes (id) ON DELETE CASCADE,
  namespace INTEGER NOT NULL, first_byte INTEGER NOT NULL, end_byte INTEGER NOT NULL, text TEXT NOT NULL);
CREATE INDEX chunks_by_note ON chunks (note, first_byte);
CREATE INDEX chunks_by_namespace ON chunks (namespace);
CREATE TABLE embeddings (
  chunk INTEGER PRIMARY KEY REFERENCES chunks (id) ON DELETE CASCADE, vector BLOB NOT NULL);
)";
// Version 2 adds checksums, which Verify compares with the rows; NULL if a row has none.
constexpr const char* kSums =
    "ALTER TABLE notes ADD COLUMN sum INTEGER; ALTER TABLE embeddings ADD COLUMN sum INTEGER";
// Version 3 adds the fields of a conversation's turns.
constexpr const char* kTurns =
    "ALTER TABLE notes ADD COLUMN speaker TEXT NOT NULL DEFAULT ''; "
    "ALTER TABLE notes ADD COLUMN session TEXT NOT NULL DEFAULT ''";

}  // namespace

Status NoteStore::CreateTables() {
  if (database_.read_only()) return NotFound("{}: holds no notes, and can only be read", database_.path());
  QWEN25_TRY(Transaction transaction, Transaction::Begin(database_));
  QWEN25_TRY(const int64_t version, database_.QueryInt("PRAGMA user_version"));
  if (version != 0) return {};  // another process was faster
  QWEN25_TRY(const int64_t tables, database_.QueryInt("SELECT count(*) FROM sqlite_master"));
  if (tables > 0) return InvalidArgument("{}: is a SQLite database of another program", database_.path());
  RemoveForeignCaches();
  QWEN25_RETURN_IF_ERROR(database_.Execute(kSchema));
  QWEN25_RETURN_IF_ERROR(database_.Execute(kSums));
  QWEN25_RETURN_IF_ERROR(database_.Execute(kTurns));
  QWEN25_RETURN_IF_ERROR(database_.Execute(
      fmt::format("PRAGMA application_id={}; PRAGMA user_version={}", kApplicationId, kSchemaVersion)));
  QWEN25_RETURN_IF_ERROR(SetSetting("terms", SearchTermsVersion()));
  return transaction.Commit();
}

Status NoteStore::CreateSchema() {
  QWEN25_TRY(int64_t version, database_.QueryInt("PRAGMA user_version"));
  if (version == 0) {
    QWEN25_RETURN_IF_ERROR(CreateTables());
    QWEN25_TRY(version, database_.QueryInt("PRAGMA user_version"));
  }
  QWEN25_TRY(const int64_t application, database_.QueryInt("PRAGMA application_id"));
  if (application != kApplicationId) {
    return InvalidArgument("{}: is a SQLite database of another program", database_.path());
  }
  if (version > kSchemaVersion) {
    return Unsupported(
        "{}: was written by a newer qwen25 (schema {}, this program knows {}); update the program",
        database_.path(), version, kSchemaVersion);
  }
  has_sums_ = version >= 2;
  has_turns_ = version >= 3;
  return has_turns_ || database_.read_only() ? Status() : Upgrade();
}

// Brings an older store to the present version. The columns of turns come first: checksums are over them.
Status NoteStore::Upgrade() {
  QWEN25_TRY(Transaction transaction, Transaction::Begin(database_));
  QWEN25_TRY(const int64_t version, database_.QueryInt("PRAGMA user_version"));
  has_sums_ = has_turns_ = true;
  if (version >= 3) return {};  // another process was faster
  QWEN25_RETURN_IF_ERROR(database_.Execute(kTurns));
  if (version < 2) QWEN25_RETURN_IF_ERROR(AddSums());
  QWEN25_RETURN_IF_ERROR(database_.Execute(fmt::format("PRAGMA user_version={}", kSchemaVersion)));
  return transaction.Commit();
}

// Gives every row its checksum.
Status NoteStore::AddSums() {
  QWEN25_RETURN_IF_ERROR(database_.Execute(kSums));
  QWEN25_TRY(const std::vector<int64_t> notes, Ids("SELECT id FROM notes"));
  for (const int64_t note : notes) QWEN25_RETURN_IF_ERROR(UpdateSum(note));
  QWEN25_TRY(const std::vector<int64_t> chunks, Ids("SELECT chunk FROM embeddings"));
  QWEN25_TRY(Statement vector, database_.Prepare("SELECT vector FROM embeddings WHERE chunk = ?"));
  QWEN25_TRY(Statement update, database_.Prepare("UPDATE embeddings SET sum = ? WHERE chunk = ?"));
  for (const int64_t chunk : chunks) {
    QWEN25_TRY(const bool row, vector.Bind(1, chunk).Step());
    if (!row) continue;
    QWEN25_RETURN_IF_ERROR(update.Bind(1, VectorSum(chunk, vector.Blob(0))).Bind(2, chunk).Run());
  }
  return {};
}

Status NoteStore::RebuildWordsIfNeeded() {
  QWEN25_TRY(const std::string version, GetSetting("terms"));
  if (version == SearchTermsVersion() || database_.read_only()) return {};
  QWEN25_TRY(Transaction transaction, Transaction::Begin(database_));
  QWEN25_TRY(const std::vector<int64_t> ids, Ids("SELECT id FROM namespaces"));
  for (const int64_t id : ids) {
    QWEN25_RETURN_IF_ERROR(
        database_.Execute(fmt::format("INSERT INTO words_{0} (words_{0}) VALUES ('delete-all')", id)));
    QWEN25_TRY(Statement chunks,
               database_.Prepare("SELECT c.id, c.text, n.speaker FROM chunks c JOIN notes n "
                                 "ON n.id = c.note WHERE c.namespace = ?"));
    QWEN25_TRY(Statement insert,
               database_.Prepare(fmt::format("INSERT INTO words_{} (rowid, terms) VALUES (?, ?)", id)));
    chunks.Bind(1, id);
    while (true) {
      QWEN25_TRY(const bool row, chunks.Step());
      if (!row) break;
      const std::string terms = JoinedTerms(chunks.Text(2), chunks.Text(1));
      QWEN25_RETURN_IF_ERROR(insert.Bind(1, chunks.Int(0)).Bind(2, terms).Run());
    }
  }
  QWEN25_RETURN_IF_ERROR(SetSetting("terms", SearchTermsVersion()));
  return transaction.Commit();
}

}  // namespace qwen25

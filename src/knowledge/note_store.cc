#include "knowledge/note_store.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>

#include "base/dtype.h"
#include "base/file.h"
#include "base/hash.h"
#include "knowledge/search_terms.h"
#include "text/utf8.h"

namespace qwen25 {
namespace {

constexpr int64_t kSchemaVersion = 1;
// "q25n": `file` and other programs tell by it what the database is.
constexpr int64_t kApplicationId = 0x7132356E;
// Texts handed to the embedder at a time.
constexpr size_t kEmbedBatch = 64;

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

std::string CreateWordsTable(int64_t name_space) {
  // Contentless: the terms are made again from the chunk. Terms come ready, so the tokenizer only splits at
  // spaces.
  return fmt::format(
      "CREATE VIRTUAL TABLE words_{0} USING fts5(terms, content='', tokenize=\"unicode61 remove_diacritics 0 "
      "categories 'L* M* N* P* S* Co'\"); CREATE VIRTUAL TABLE vocabulary_{0} USING fts5vocab(words_{0}, "
      "row)",
      name_space);
}

std::string JoinedTerms(std::string_view text) {
  return fmt::format("{}", fmt::join(TermsOf(text), " "));
}

// float16: half the bytes, and the cosine of unit vectors keeps three digits.
std::vector<uint16_t> EncodeVector(std::span<const float> vector) {
  std::vector<uint16_t> encoded(vector.size());
  std::ranges::transform(vector, encoded.begin(), FloatToFloat16);
  return encoded;
}

int64_t NowMilliseconds() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::array<std::byte, 16> ContentHash(std::string_view text) {
  const Hash128 hash = HashBytes128(std::as_bytes(std::span(text)));
  std::array<std::byte, 16> bytes;
  std::memcpy(bytes.data(), &hash.low, 8);
  std::memcpy(bytes.data() + 8, &hash.high, 8);
  return bytes;
}

Status CheckNewNote(const NewNote& note) {
  if (note.text.find_first_not_of(" \t\r\n") == std::string::npos) {
    return InvalidArgument("there is nothing to remember: the text is empty");
  }
  if (note.text.find('\0') != std::string::npos || !IsValidUtf8(note.text)) {
    return InvalidArgument("{}: this is no text in UTF-8",
                           note.source.empty() ? std::string("the note") : note.source);
  }
  if (note.name_space.empty() || note.name_space.size() > 200 || !IsValidUtf8(note.name_space)) {
    return InvalidArgument("a namespace is a name of 1 to 200 bytes of UTF-8, \"{}\" is not",
                           note.name_space);
  }
  for (const std::string& tag : note.tags) {
    if (tag.empty() || !IsValidUtf8(tag)) return InvalidArgument("a tag must be a word in UTF-8");
  }
  if (!IsValidUtf8(note.title) || !IsValidUtf8(note.source)) {
    return InvalidArgument("title and source must be UTF-8");
  }
  return {};
}

}  // namespace

bool NoteStore::Exists(const std::filesystem::path& directory) {
  std::error_code ignored;
  return std::filesystem::exists(directory / "notes.sqlite", ignored);
}

Result<std::unique_ptr<NoteStore>> NoteStore::Open(const std::filesystem::path& directory, Embedder* embedder,
                                                   const NoteStoreOptions& options) {
  QWEN25_RETURN_IF_ERROR(CreateDirectories(directory));
  std::optional<Cipher> page_cipher, cache_cipher;
  if (options.key) {
    QWEN25_TRY(page_cipher, Cipher::Create(*options.key, KeyPurpose::kPages));
    QWEN25_TRY(cache_cipher, Cipher::Create(*options.key, KeyPurpose::kVectors));
  }
  QWEN25_TRY(Database database, Database::Open(directory / "notes.sqlite", options.busy_milliseconds,
                                               page_cipher ? &*page_cipher : nullptr));
  std::unique_ptr<NoteStore> store(
      new NoteStore(directory, embedder, options.chunks, std::move(cache_cipher), std::move(database)));
  QWEN25_RETURN_IF_ERROR(store->CreateSchema());
  QWEN25_RETURN_IF_ERROR(store->CheckEmbedder());
  QWEN25_RETURN_IF_ERROR(store->RebuildWordsIfNeeded());
  return store;
}

NoteStore::~NoteStore() {
  // The caches are a convenience: what cannot be written is built again.
  static_cast<void>(SaveVectorCaches());
}

Status NoteStore::CreateSchema() {
  QWEN25_TRY(int64_t version, database_.QueryInt("PRAGMA user_version"));
  if (version == 0) {
    QWEN25_TRY(Transaction transaction, Transaction::Begin(database_));
    QWEN25_TRY(version, database_.QueryInt("PRAGMA user_version"));  // another process may have been faster
    QWEN25_TRY(const int64_t tables, database_.QueryInt("SELECT count(*) FROM sqlite_master"));
    if (version == 0 && tables > 0) {
      return InvalidArgument("{}: is a SQLite database of another program", database_.path());
    }
    if (version == 0) {
      RemoveForeignCaches();
      QWEN25_RETURN_IF_ERROR(database_.Execute(kSchema));
      QWEN25_RETURN_IF_ERROR(database_.Execute(
          fmt::format("PRAGMA application_id={}; PRAGMA user_version={}", kApplicationId, kSchemaVersion)));
      QWEN25_RETURN_IF_ERROR(SetSetting("terms", SearchTermsVersion()));
      return transaction.Commit();
    }
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
  return {};
}

Result<std::string> NoteStore::GetSetting(const std::string& key) {
  QWEN25_TRY(Statement statement, database_.Prepare("SELECT value FROM settings WHERE key = ?"));
  QWEN25_TRY(const bool row, statement.Bind(1, key).Step());
  return row ? std::string(statement.Text(0)) : std::string();
}

Status NoteStore::SetSetting(const std::string& key, const std::string& value) {
  QWEN25_TRY(Statement statement, database_.Prepare("INSERT OR REPLACE INTO settings VALUES (?, ?)"));
  return statement.Bind(1, key).Bind(2, value).Run();
}

Result<std::optional<EmbedderId>> NoteStore::StoredEmbedder() {
  QWEN25_TRY(const std::string name, GetSetting("embedder_name"));
  if (name.empty()) return std::optional<EmbedderId>();
  EmbedderId id{.name = name};
  QWEN25_TRY(const std::string dimension, GetSetting("embedder_dimension"));
  if (dimension.empty() || dimension.size() > 6 || !std::ranges::all_of(dimension, ::isdigit)) {
    return Corrupt("{}: the embedder's dimension is \"{}\", which is no number", database_.path(), dimension);
  }
  id.dimension = static_cast<uint32_t>(std::stoul(dimension));
  QWEN25_TRY(id.fingerprint, GetSetting("embedder_fingerprint"));
  return std::optional<EmbedderId>(id);
}

Status NoteStore::CheckEmbedder() {
  if (embedder_ == nullptr) return {};
  QWEN25_TRY(const std::optional<EmbedderId> stored, StoredEmbedder());
  if (!stored || *stored == embedder_->id()) return {};
  return InvalidArgument(
      "{}: its vectors were made by {}, and this is {}; vectors of the two cannot be compared. Use the "
      "former, or "
      "run `qwen25 memory reindex` with the latter",
      database_.path(), stored->ToString(), embedder_->id().ToString());
}

Status NoteStore::RememberEmbedder() {
  QWEN25_RETURN_IF_ERROR(SetSetting("embedder_name", embedder_->id().name));
  QWEN25_RETURN_IF_ERROR(SetSetting("embedder_dimension", std::to_string(embedder_->id().dimension)));
  return SetSetting("embedder_fingerprint", embedder_->id().fingerprint);
}

Status NoteStore::RebuildWordsIfNeeded() {
  QWEN25_TRY(const std::string version, GetSetting("terms"));
  if (version == SearchTermsVersion()) return {};
  QWEN25_TRY(Transaction transaction, Transaction::Begin(database_));
  QWEN25_TRY(Statement namespaces, database_.Prepare("SELECT id FROM namespaces"));
  std::vector<int64_t> ids;
  while (true) {
    QWEN25_TRY(const bool row, namespaces.Step());
    if (!row) break;
    ids.push_back(namespaces.Int(0));
  }
  for (const int64_t id : ids) {
    QWEN25_RETURN_IF_ERROR(
        database_.Execute(fmt::format("INSERT INTO words_{0} (words_{0}) VALUES ('delete-all')", id)));
    QWEN25_TRY(Statement chunks, database_.Prepare("SELECT id, text FROM chunks WHERE namespace = ?"));
    QWEN25_TRY(Statement insert,
               database_.Prepare(fmt::format("INSERT INTO words_{} (rowid, terms) VALUES (?, ?)", id)));
    chunks.Bind(1, id);
    while (true) {
      QWEN25_TRY(const bool row, chunks.Step());
      if (!row) break;
      const std::string terms = JoinedTerms(chunks.Text(1));
      QWEN25_RETURN_IF_ERROR(insert.Bind(1, chunks.Int(0)).Bind(2, terms).Run());
    }
  }
  QWEN25_RETURN_IF_ERROR(SetSetting("terms", SearchTermsVersion()));
  return transaction.Commit();
}

Result<int64_t> NoteStore::NamespaceId(const std::string& name, bool create) {
  QWEN25_TRY(Statement find, database_.Prepare("SELECT id FROM namespaces WHERE name = ?"));
  QWEN25_TRY(const bool row, find.Bind(1, name).Step());
  if (row) return find.Int(0);
  if (!create) return 0;
  QWEN25_TRY(Statement insert, database_.Prepare("INSERT INTO namespaces (name) VALUES (?)"));
  QWEN25_RETURN_IF_ERROR(insert.Bind(1, name).Run());
  const int64_t id = database_.last_insert_id();
  QWEN25_RETURN_IF_ERROR(database_.Execute(CreateWordsTable(id)));
  return id;
}

Result<int64_t> NoteStore::FindSame(int64_t name_space, const NewNote& note) {
  const auto hash = ContentHash(note.text);
  QWEN25_TRY(
      Statement same,
      database_.Prepare("SELECT id FROM notes WHERE namespace = ? AND content_hash = ? AND source = ? AND "
                        "superseded_by IS NULL ORDER BY id LIMIT 1"));
  QWEN25_TRY(const bool row, same.Bind(1, name_space).BindBlob(2, hash).Bind(3, note.source).Step());
  return row ? same.Int(0) : 0;
}

Status NoteStore::Supersede(int64_t old_note, int64_t new_note, int64_t name_space) {
  QWEN25_TRY(Statement update, database_.Prepare("UPDATE notes SET superseded_by = ?, updated_ms = ? "
                                                 "WHERE id = ? AND namespace = ? AND id != ?1"));
  QWEN25_RETURN_IF_ERROR(
      update.Bind(1, new_note).Bind(2, NowMilliseconds()).Bind(3, old_note).Bind(4, name_space).Run());
  if (database_.num_changes() == 1) return {};
  return NotFound("there is no note {} in this namespace that could be superseded", old_note);
}

Status NoteStore::AddChunks(int64_t note, int64_t name_space, const std::string& text,
                            std::vector<std::pair<int64_t, std::vector<float>>>& vectors) {
  const std::vector<TextRange> ranges = ChunkText(text, chunk_options_);
  std::vector<int64_t> ids;
  QWEN25_TRY(Statement chunk,
             database_.Prepare("INSERT INTO chunks (note, namespace, first_byte, end_byte, text) "
                               "VALUES (?, ?, ?, ?, ?)"));
  QWEN25_TRY(Statement words,
             database_.Prepare(fmt::format("INSERT INTO words_{} (rowid, terms) VALUES (?, ?)", name_space)));
  for (const TextRange& range : ranges) {
    const std::string_view part = std::string_view(text).substr(range.begin, range.end - range.begin);
    QWEN25_RETURN_IF_ERROR(chunk.Bind(1, note)
                               .Bind(2, name_space)
                               .Bind(3, static_cast<int64_t>(range.begin))
                               .Bind(4, static_cast<int64_t>(range.end))
                               .Bind(5, part)
                               .Run());
    ids.push_back(database_.last_insert_id());
    const std::string terms = JoinedTerms(part);
    QWEN25_RETURN_IF_ERROR(words.Bind(1, ids.back()).Bind(2, terms).Run());
  }
  if (embedder_ == nullptr) return {};
  const size_t dimension = embedder_->id().dimension;
  QWEN25_TRY(Statement insert, database_.Prepare("INSERT INTO embeddings VALUES (?, ?)"));
  for (size_t begin = 0; begin < ranges.size(); begin += kEmbedBatch) {
    const size_t count = std::min(kEmbedBatch, ranges.size() - begin);
    std::vector<std::string> texts;
    for (size_t i = begin; i < begin + count; ++i) {
      texts.push_back(text.substr(ranges[i].begin, ranges[i].end - ranges[i].begin));
    }
    std::vector<float> out(count * dimension);
    QWEN25_RETURN_IF_ERROR(embedder_->Embed(EmbedKind::kPassage, texts, out));
    for (size_t i = 0; i < count; ++i) {
      const std::span<const float> vector = std::span(out).subspan(i * dimension, dimension);
      const std::vector<uint16_t> encoded = EncodeVector(vector);
      QWEN25_RETURN_IF_ERROR(
          insert.Bind(1, ids[begin + i]).BindBlob(2, std::as_bytes(std::span(encoded))).Run());
      vectors.emplace_back(ids[begin + i], std::vector<float>(vector.begin(), vector.end()));
    }
  }
  return {};
}

Result<int64_t> NoteStore::AddOne(const NewNote& note,
                                  std::vector<std::pair<int64_t, std::vector<float>>>& vectors) {
  QWEN25_RETURN_IF_ERROR(CheckNewNote(note));
  QWEN25_TRY(const int64_t name_space, NamespaceId(note.name_space, /*create=*/true));
  QWEN25_TRY(const int64_t same, FindSame(name_space, note));
  if (same != 0) {
    if (note.supersedes && *note.supersedes != same) {
      QWEN25_RETURN_IF_ERROR(Supersede(*note.supersedes, same, name_space));
    }
    return same;
  }
  const int64_t now = NowMilliseconds();
  const auto hash = ContentHash(note.text);
  QWEN25_TRY(
      Statement insert,
      database_.Prepare("INSERT INTO notes (namespace, title, source, content_hash, created_ms, updated_ms) "
                        "VALUES (?, ?, ?, ?, ?, ?)"));
  QWEN25_RETURN_IF_ERROR(insert.Bind(1, name_space)
                             .Bind(2, note.title)
                             .Bind(3, note.source)
                             .BindBlob(4, hash)
                             .Bind(5, note.created_ms == 0 ? now : note.created_ms)
                             .Bind(6, now)
                             .Run());
  const int64_t id = database_.last_insert_id();
  for (const std::string& tag : note.tags) {
    QWEN25_TRY(Statement add_tag, database_.Prepare("INSERT OR IGNORE INTO tags VALUES (?, ?)"));
    QWEN25_RETURN_IF_ERROR(add_tag.Bind(1, id).Bind(2, tag).Run());
  }
  if (note.supersedes) QWEN25_RETURN_IF_ERROR(Supersede(*note.supersedes, id, name_space));
  if (note.replaces_source && !note.source.empty()) {
    QWEN25_TRY(
        Statement update,
        database_.Prepare("UPDATE notes SET superseded_by = ?1, updated_ms = ?2 WHERE namespace = ?3 AND "
                          "source = ?4 AND id != ?1 AND superseded_by IS NULL"));
    QWEN25_RETURN_IF_ERROR(update.Bind(1, id).Bind(2, now).Bind(3, name_space).Bind(4, note.source).Run());
  }
  QWEN25_RETURN_IF_ERROR(AddChunks(id, name_space, note.text, vectors));
  return id;
}

Result<int64_t> NoteStore::Add(const NewNote& note) {
  QWEN25_TRY(const std::vector<int64_t> ids, AddAll({&note, 1}));
  return ids[0];
}

Result<std::vector<int64_t>> NoteStore::AddAll(std::span<const NewNote> notes) {
  QWEN25_TRY(Transaction transaction, Transaction::Begin(database_));
  if (embedder_ != nullptr) {
    QWEN25_RETURN_IF_ERROR(CheckEmbedder());  // another process may have chosen one since Open
    QWEN25_RETURN_IF_ERROR(RememberEmbedder());
  }
  std::vector<int64_t> ids;
  std::vector<std::pair<int64_t, std::vector<float>>> vectors;
  std::vector<std::pair<int64_t, size_t>> parts;  // namespace, end in `vectors`
  for (const NewNote& note : notes) {
    QWEN25_TRY(const int64_t id, AddOne(note, vectors));
    ids.push_back(id);
    QWEN25_TRY(const int64_t name_space, NamespaceId(note.name_space, false));
    parts.emplace_back(name_space, vectors.size());
  }
  QWEN25_RETURN_IF_ERROR(transaction.Commit());
  // Graphs that are in memory stay up to date; the others take their vectors from the table.
  size_t begin = 0;
  for (const auto& [name_space, end] : parts) {
    const auto found = indexes_.find(name_space);
    for (; begin < end; ++begin) {
      if (found == indexes_.end() || !found->second.vectors) continue;
      QWEN25_RETURN_IF_ERROR(found->second.vectors->Add(vectors[begin].first, vectors[begin].second));
      ++found->second.num_changes;
    }
  }
  return ids;
}

Status NoteStore::MarkSuperseded(int64_t old_note, int64_t new_note) {
  QWEN25_TRY(Transaction transaction, Transaction::Begin(database_));
  QWEN25_TRY(const int64_t name_space,
             database_.QueryInt(fmt::format("SELECT namespace FROM notes WHERE id = {}", new_note)));
  QWEN25_RETURN_IF_ERROR(Supersede(old_note, new_note, name_space));
  return transaction.Commit();
}

Result<std::string> NoteStore::TextOf(int64_t note) {
  QWEN25_TRY(
      Statement chunks,
      database_.Prepare("SELECT first_byte, end_byte, text FROM chunks WHERE note = ? ORDER BY first_byte"));
  chunks.Bind(1, note);
  std::string text;
  while (true) {
    QWEN25_TRY(const bool row, chunks.Step());
    if (!row) return text;
    const auto begin = static_cast<size_t>(chunks.Int(0));
    const std::string_view part = chunks.Text(2);
    if (begin > text.size() || begin + part.size() != static_cast<size_t>(chunks.Int(1)) ||
        begin + part.size() < text.size()) {
      return Corrupt("{}: the parts of note {} do not meet at byte {}", database_.path(), note, text.size());
    }
    text += part.substr(text.size() - begin);
  }
}

Status NoteStore::FillNote(Note& note, bool with_text) {
  QWEN25_TRY(Statement tags, database_.Prepare("SELECT tag FROM tags WHERE note = ? ORDER BY tag"));
  tags.Bind(1, note.id);
  while (true) {
    QWEN25_TRY(const bool row, tags.Step());
    if (!row) break;
    note.tags.emplace_back(tags.Text(0));
  }
  if (with_text) {
    QWEN25_TRY(note.text, TextOf(note.id));
  }
  return {};
}

namespace {

constexpr const char* kSelectNotes =
    "SELECT n.id, s.name, n.title, n.source, n.created_ms, n.updated_ms, n.superseded_by, "
    "(SELECT count(*) FROM chunks c WHERE c.note = n.id) FROM notes n JOIN namespaces s ON s.id = "
    "n.namespace ";

Note ReadNote(const Statement& row) {
  Note note;
  note.id = row.Int(0);
  note.name_space = row.Text(1);
  note.title = row.Text(2);
  note.source = row.Text(3);
  note.created_ms = row.Int(4);
  note.updated_ms = row.Int(5);
  if (!row.IsNull(6)) note.superseded_by = row.Int(6);
  note.num_chunks = static_cast<size_t>(row.Int(7));
  return note;
}

}  // namespace

Result<Note> NoteStore::Get(int64_t id) {
  QWEN25_TRY(Statement select, database_.Prepare(std::string(kSelectNotes) + "WHERE n.id = ?"));
  QWEN25_TRY(const bool row, select.Bind(1, id).Step());
  if (!row) return NotFound("there is no note {}", id);
  Note note = ReadNote(select);
  QWEN25_RETURN_IF_ERROR(FillNote(note, /*with_text=*/true));
  return note;
}

Result<std::vector<Note>> NoteStore::List(const NoteFilter& filter, bool with_text) {
  QWEN25_TRY(Statement select,
             database_.Prepare(std::string(kSelectNotes) +
                               "WHERE (?1 = '' OR s.name = ?1) AND (?2 = '' OR n.source = ?2) AND "
                               "(?3 OR n.superseded_by IS NULL) ORDER BY n.id"));
  select.Bind(1, filter.name_space).Bind(2, filter.source).Bind(3, int64_t{filter.include_superseded});
  std::vector<Note> notes;
  while (true) {
    QWEN25_TRY(const bool row, select.Step());
    if (!row) return notes;
    Note note = ReadNote(select);
    QWEN25_RETURN_IF_ERROR(FillNote(note, with_text));
    const bool tagged = std::ranges::all_of(filter.tags, [&](const std::string& tag) {
      return std::ranges::find(note.tags, tag) != note.tags.end();
    });
    if (tagged) notes.push_back(std::move(note));
  }
}

Status NoteStore::RemoveOne(int64_t id) {
  QWEN25_TRY(Statement chunks, database_.Prepare("SELECT id, namespace, text FROM chunks WHERE note = ?"));
  chunks.Bind(1, id);
  while (true) {
    QWEN25_TRY(const bool row, chunks.Step());
    if (!row) break;
    const int64_t name_space = chunks.Int(1);
    QWEN25_TRY(Statement words,
               database_.Prepare(fmt::format(
                   "INSERT INTO words_{0} (words_{0}, rowid, terms) VALUES ('delete', ?, ?)", name_space)));
    const std::string terms = JoinedTerms(chunks.Text(2));
    QWEN25_RETURN_IF_ERROR(words.Bind(1, chunks.Int(0)).Bind(2, terms).Run());
  }
  QWEN25_TRY(Statement orphans,
             database_.Prepare("UPDATE notes SET superseded_by = NULL WHERE superseded_by = ?"));
  QWEN25_TRY(Statement remove, database_.Prepare("DELETE FROM notes WHERE id = ?"));
  QWEN25_RETURN_IF_ERROR(orphans.Bind(1, id).Run());
  return remove.Bind(1, id).Run();
}

Result<size_t> NoteStore::Forget(std::span<const int64_t> ids, bool erase) {
  size_t removed = 0;
  {
    QWEN25_TRY(Transaction transaction, Transaction::Begin(database_));
    for (const int64_t id : ids) {
      QWEN25_TRY(const int64_t found,
                 database_.QueryInt(fmt::format("SELECT 1 FROM notes WHERE id = {}", id)));
      if (found == 0) continue;
      QWEN25_RETURN_IF_ERROR(RemoveOne(id));
      ++removed;
    }
    QWEN25_RETURN_IF_ERROR(transaction.Commit());
  }
  for (auto& [name_space, index] : indexes_) index.data_version = -1;  // look again before the next search
  if (erase) QWEN25_RETURN_IF_ERROR(EraseTraces());
  return removed;
}

Status NoteStore::EraseTraces() {
  QWEN25_TRY(Statement namespaces, database_.Prepare("SELECT id FROM namespaces"));
  std::vector<int64_t> ids;
  while (true) {
    QWEN25_TRY(const bool row, namespaces.Step());
    if (!row) break;
    ids.push_back(namespaces.Int(0));
  }
  for (const int64_t id : ids) {
    // FTS5 keeps deleted terms until its parts are merged; graphs keep removed vectors.
    QWEN25_RETURN_IF_ERROR(
        database_.Execute(fmt::format("INSERT INTO words_{0} (words_{0}) VALUES ('optimize')", id)));
    std::error_code ignored;
    std::filesystem::remove(CachePath(id), ignored);
    std::filesystem::remove(CachePath(id) + ".tmp", ignored);  // of a process that was killed while saving
    indexes_.erase(id);
  }
  QWEN25_RETURN_IF_ERROR(database_.Execute("VACUUM"));
  QWEN25_TRY(const int64_t busy, database_.QueryInt("PRAGMA wal_checkpoint(TRUNCATE)"));
  if (busy != 0) {
    return ResourceExhausted(
        "{}: the notes are gone, but another process that reads the file keeps their traces in its log; "
        "close it "
        "and run `qwen25 memory forget --erase` again",
        database_.path());
  }
  return {};
}

Result<std::unique_ptr<NoteStore>> NoteStore::Reindex(
    const std::filesystem::path& directory, Embedder* embedder,
    const std::function<bool(uint64_t done, uint64_t total)>& progress, const NoteStoreOptions& options) {
  QWEN25_CHECK(embedder != nullptr);
  {
    QWEN25_TRY(const std::unique_ptr<NoteStore> store, Open(directory, nullptr, options));
    Database& database = store->database_;
    QWEN25_TRY(Transaction transaction, Transaction::Begin(database));
    QWEN25_RETURN_IF_ERROR(database.Execute("DELETE FROM embeddings"));
    QWEN25_TRY(const int64_t total, database.QueryInt("SELECT count(*) FROM chunks"));
    QWEN25_TRY(Statement chunks, database.Prepare("SELECT id, text FROM chunks ORDER BY id"));
    QWEN25_TRY(Statement insert, database.Prepare("INSERT INTO embeddings VALUES (?, ?)"));
    const size_t dimension = embedder->id().dimension;
    for (uint64_t done = 0;;) {
      std::vector<int64_t> ids;
      std::vector<std::string> texts;
      while (ids.size() < kEmbedBatch) {
        QWEN25_TRY(const bool row, chunks.Step());
        if (!row) break;
        ids.push_back(chunks.Int(0));
        texts.emplace_back(chunks.Text(1));
      }
      std::vector<float> out(ids.size() * dimension);
      QWEN25_RETURN_IF_ERROR(embedder->Embed(EmbedKind::kPassage, texts, out));
      for (size_t i = 0; i < ids.size(); ++i) {
        const std::vector<uint16_t> encoded = EncodeVector(std::span(out).subspan(i * dimension, dimension));
        QWEN25_RETURN_IF_ERROR(insert.Bind(1, ids[i]).BindBlob(2, std::as_bytes(std::span(encoded))).Run());
      }
      done += ids.size();
      if (progress && !progress(done, static_cast<uint64_t>(total))) {
        return Cancelled("stopped; the store is as it was");
      }
      if (ids.size() < kEmbedBatch) break;
    }
    QWEN25_RETURN_IF_ERROR(store->SetSetting("embedder_name", embedder->id().name));
    QWEN25_RETURN_IF_ERROR(store->SetSetting("embedder_dimension", std::to_string(embedder->id().dimension)));
    QWEN25_RETURN_IF_ERROR(store->SetSetting("embedder_fingerprint", embedder->id().fingerprint));
    QWEN25_RETURN_IF_ERROR(database.Execute("DELETE FROM settings WHERE key LIKE 'vectors_%'"));
    QWEN25_RETURN_IF_ERROR(transaction.Commit());
  }
  return Open(directory, embedder, options);
}

}  // namespace qwen25

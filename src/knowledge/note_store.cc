#include "knowledge/note_store.h"

#include <algorithm>
#include <thread>

#include "base/file.h"
#include "base/temporary_file.h"
#include "knowledge/note_rows.h"
#include "store/namespace_name.h"
#include "text/utf8.h"

namespace qwen25 {
namespace {

Status CheckNewNote(const NewNote& note) {
  if (note.text.find_first_not_of(" \t\r\n") == std::string::npos) {
    return InvalidArgument("there is nothing to remember: the text is empty");
  }
  const std::string_view what = note.source.empty() ? std::string_view("the note") : note.source;
  if (!IsValidUtf8(note.text)) return InvalidArgument("{}: is not text in UTF-8", what);
  if (note.text.find('\0') != std::string::npos) {
    return InvalidArgument("{}: holds a NUL character (U+0000), which no note can", what);
  }
  QWEN25_RETURN_IF_ERROR(CheckNamespace(note.name_space));
  if (!IsValidUtf8(note.name_space)) return InvalidArgument("the name of the namespace is not text in UTF-8");
  for (const std::string& tag : note.tags) {
    if (tag.empty() || !IsValidUtf8(tag)) return InvalidArgument("a tag is empty or not UTF-8");
  }
  if (!IsValidUtf8(note.title) || !IsValidUtf8(note.source)) {
    return InvalidArgument("title and source must be UTF-8");
  }
  for (const std::string* name : {&note.speaker, &note.session}) {
    if (name->size() > 200 || !IsValidUtf8(*name) || name->find('\0') != std::string::npos) {
      return InvalidArgument("{}: speaker and session must be names of at most 200 bytes of UTF-8", what);
    }
  }
  return {};
}

}  // namespace

bool NoteStore::Exists(const std::filesystem::path& directory) {
  std::error_code ignored;
  return !directory.empty() && std::filesystem::exists(directory / "notes.sqlite", ignored);
}

Result<std::unique_ptr<NoteStore>> NoteStore::OpenUnchecked(const std::filesystem::path& directory,
                                                            Embedder* embedder,
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
  if (!store->read_only()) RemoveLeftovers(directory);  // caches that killed processes were writing
  QWEN25_RETURN_IF_ERROR(store->CreateSchema());
  QWEN25_RETURN_IF_ERROR(store->RebuildWordsIfNeeded());
  return store;
}

Result<std::unique_ptr<NoteStore>> NoteStore::Open(const std::filesystem::path& directory, Embedder* embedder,
                                                   const NoteStoreOptions& options) {
  QWEN25_TRY(std::unique_ptr<NoteStore> store, OpenUnchecked(directory, embedder, options));
  QWEN25_RETURN_IF_ERROR(store->RenewVectorsIfNeeded());
  QWEN25_RETURN_IF_ERROR(store->CheckEmbedder());
  return store;
}

NoteStore::~NoteStore() {
  // A cache that cannot be written is built again.
  static_cast<void>(SaveVectorCaches());
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

Result<std::vector<int64_t>> NoteStore::Ids(const std::string& select) {
  QWEN25_TRY(Statement rows, database_.Prepare(select));
  std::vector<int64_t> ids;
  while (true) {
    QWEN25_TRY(const bool row, rows.Step());
    if (!row) return ids;
    ids.push_back(rows.Int(0));
  }
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
                        "speaker = ? AND session = ? AND (session = '' OR created_ms = ?) AND "
                        "superseded_by IS NULL ORDER BY id LIMIT 1"));
  same.Bind(1, name_space).BindBlob(2, hash).Bind(3, note.source);
  same.Bind(4, note.speaker).Bind(5, note.session).Bind(6, note.created_ms);
  QWEN25_TRY(const bool row, same.Step());
  return row ? same.Int(0) : 0;
}

Status NoteStore::Supersede(int64_t old_note, int64_t new_note, int64_t name_space) {
  QWEN25_TRY(Statement update, database_.Prepare("UPDATE notes SET superseded_by = ?, updated_ms = ? "
                                                 "WHERE id = ? AND namespace = ? AND id != ?1"));
  QWEN25_RETURN_IF_ERROR(
      update.Bind(1, new_note).Bind(2, NowMilliseconds()).Bind(3, old_note).Bind(4, name_space).Run());
  if (database_.num_changes() == 1) return UpdateSum(old_note);
  return NotFound("there is no note {} in this namespace that could be superseded", old_note);
}

// Cuts a note into chunks, and computes their vectors unless the same note is stored already.
Result<NoteStore::PreparedNote> NoteStore::Prepare(const NewNote& note) {
  PreparedNote prepared = {.chunks = ChunkText(note.text, chunk_options_)};
  if (embedder_ == nullptr) return prepared;
  QWEN25_TRY(const int64_t name_space, NamespaceId(note.name_space, /*create=*/false));
  if (name_space != 0) {
    QWEN25_TRY(const int64_t same, FindSame(name_space, note));
    if (same != 0) return prepared;
  }
  QWEN25_RETURN_IF_ERROR(EmbedChunks(note, prepared));
  return prepared;
}

Status NoteStore::EmbedChunks(const NewNote& note, PreparedNote& prepared) {
  std::vector<std::string> texts;
  for (const TextRange& range : prepared.chunks) {
    texts.push_back(
        SaidText(note.speaker, std::string_view(note.text).substr(range.begin, range.end - range.begin)));
  }
  QWEN25_TRY(prepared.vectors, Embed(texts));
  return {};
}

Status NoteStore::AddChunks(int64_t id, int64_t name_space, const NewNote& note, PreparedNote& prepared) {
  QWEN25_TRY(Statement chunk,
             database_.Prepare("INSERT INTO chunks (note, namespace, first_byte, end_byte, text) "
                               "VALUES (?, ?, ?, ?, ?)"));
  QWEN25_TRY(Statement words,
             database_.Prepare(fmt::format("INSERT INTO words_{} (rowid, terms) VALUES (?, ?)", name_space)));
  for (const TextRange& range : prepared.chunks) {
    const std::string_view part = std::string_view(note.text).substr(range.begin, range.end - range.begin);
    QWEN25_RETURN_IF_ERROR(chunk.Bind(1, id)
                               .Bind(2, name_space)
                               .Bind(3, static_cast<int64_t>(range.begin))
                               .Bind(4, static_cast<int64_t>(range.end))
                               .Bind(5, part)
                               .Run());
    prepared.ids.push_back(database_.last_insert_id());
    const std::string terms = JoinedTerms(note.speaker, part);
    QWEN25_RETURN_IF_ERROR(words.Bind(1, prepared.ids.back()).Bind(2, terms).Run());
  }
  if (embedder_ == nullptr) return {};
  for (size_t i = 0; i < prepared.ids.size(); ++i) {
    QWEN25_RETURN_IF_ERROR(StoreVector(prepared.ids[i], EncodeVector(VectorOf(prepared, i))));
  }
  return {};
}

Result<int64_t> NoteStore::AddOne(const NewNote& note, PreparedNote& prepared) {
  QWEN25_TRY(const int64_t name_space, NamespaceId(note.name_space, /*create=*/true));
  prepared.name_space = name_space;
  QWEN25_TRY(const int64_t same, FindSame(name_space, note));
  if (same != 0) {
    if (note.supersedes && *note.supersedes != same) {
      QWEN25_RETURN_IF_ERROR(Supersede(*note.supersedes, same, name_space));
    }
    return same;
  }
  // The same text was stored a moment ago, and has been removed.
  if (embedder_ != nullptr && prepared.vectors.empty()) QWEN25_RETURN_IF_ERROR(EmbedChunks(note, prepared));
  const int64_t now = NowMilliseconds();
  const auto hash = ContentHash(note.text);
  QWEN25_TRY(
      Statement insert,
      database_.Prepare("INSERT INTO notes (namespace, title, source, content_hash, created_ms, updated_ms, "
                        "speaker, session) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"));
  QWEN25_RETURN_IF_ERROR(insert.Bind(1, name_space)
                             .Bind(2, note.title)
                             .Bind(3, note.source)
                             .BindBlob(4, hash)
                             .Bind(5, note.created_ms == 0 ? now : note.created_ms)
                             .Bind(6, now)
                             .Bind(7, note.speaker)
                             .Bind(8, note.session)
                             .Run());
  const int64_t id = database_.last_insert_id();
  for (const std::string& tag : note.tags) {
    QWEN25_TRY(Statement add_tag, database_.Prepare("INSERT OR IGNORE INTO tags VALUES (?, ?)"));
    QWEN25_RETURN_IF_ERROR(add_tag.Bind(1, id).Bind(2, tag).Run());
  }
  if (note.supersedes) QWEN25_RETURN_IF_ERROR(Supersede(*note.supersedes, id, name_space));
  if (note.replaces_source && !note.source.empty()) {
    QWEN25_RETURN_IF_ERROR(SupersedeSource(note.source, id, name_space));
  }
  QWEN25_RETURN_IF_ERROR(AddChunks(id, name_space, note, prepared));
  QWEN25_RETURN_IF_ERROR(UpdateSum(id));
  return id;
}

// Supersedes all older notes of a source.
Status NoteStore::SupersedeSource(const std::string& source, int64_t new_note, int64_t name_space) {
  std::vector<int64_t> older;
  {
    QWEN25_TRY(Statement select,
               database_.Prepare("SELECT id FROM notes WHERE namespace = ? AND source = ? AND id != ? AND "
                                 "superseded_by IS NULL"));
    select.Bind(1, name_space).Bind(2, source).Bind(3, new_note);
    while (true) {
      QWEN25_TRY(const bool row, select.Step());
      if (!row) break;
      older.push_back(select.Int(0));
    }
  }
  for (const int64_t note : older) QWEN25_RETURN_IF_ERROR(Supersede(note, new_note, name_space));
  return {};
}

Result<int64_t> NoteStore::Add(const NewNote& note) {
  QWEN25_TRY(const std::vector<int64_t> ids, AddAll({&note, 1}));
  return ids[0];
}

// Waiting writers look at the lock every few milliseconds. A writer that adds many notes back to back leaves
// it free for half as long as it held it, or the others would hardly ever find it free.
void NoteStore::LetOthersWrite() const {
  const auto pause = writing_time_ / 2 - (std::chrono::steady_clock::now() - writing_end_);
  if (pause > std::chrono::steady_clock::duration::zero()) std::this_thread::sleep_for(pause);
}

Result<std::vector<int64_t>> NoteStore::AddAll(std::span<const NewNote> notes) {
  for (const NewNote& note : notes) QWEN25_RETURN_IF_ERROR(CheckNewNote(note));
  QWEN25_RETURN_IF_ERROR(CheckEmbedder());
  // Before the store is locked: an embedder may take minutes.
  std::vector<PreparedNote> prepared;
  for (const NewNote& note : notes) {
    QWEN25_TRY(PreparedNote one, Prepare(note));
    prepared.push_back(std::move(one));
  }
  LetOthersWrite();
  QWEN25_TRY(Transaction transaction, Transaction::Begin(database_));
  const auto begin = std::chrono::steady_clock::now();
  if (embedder_ != nullptr) {
    QWEN25_RETURN_IF_ERROR(CheckEmbedder());  // another process may have chosen one since
    QWEN25_RETURN_IF_ERROR(RememberEmbedder());
  }
  std::vector<int64_t> ids;
  for (size_t i = 0; i < notes.size(); ++i) {
    QWEN25_TRY(const int64_t id, AddOne(notes[i], prepared[i]));
    ids.push_back(id);
  }
  QWEN25_RETURN_IF_ERROR(transaction.Commit());
  writing_end_ = std::chrono::steady_clock::now();
  writing_time_ = writing_end_ - begin;
  // Graphs in memory are updated here; the others are built from the table when they are searched.
  for (const PreparedNote& note : prepared) {
    const auto found = indexes_.find(note.name_space);
    if (embedder_ == nullptr || found == indexes_.end() || !found->second.vectors) continue;
    for (size_t i = 0; i < note.ids.size(); ++i) {
      QWEN25_RETURN_IF_ERROR(found->second.vectors->Add(note.ids[i], VectorOf(note, i)));
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

// `turn`: NoteStore::TurnColumns.
std::string SelectNotes(const char* turn) {
  return fmt::format(
      "SELECT n.id, s.name, n.title, n.source, n.created_ms, n.updated_ms, n.superseded_by, "
      "(SELECT count(*) FROM chunks c WHERE c.note = n.id), {} FROM notes n JOIN namespaces s ON s.id = "
      "n.namespace ",
      turn);
}

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
  note.speaker = row.Text(8);
  note.session = row.Text(9);
  return note;
}

}  // namespace

Result<Note> NoteStore::Get(int64_t id) {
  QWEN25_TRY(Statement select, database_.Prepare(SelectNotes(TurnColumns()) + "WHERE n.id = ?"));
  QWEN25_TRY(const bool row, select.Bind(1, id).Step());
  if (!row) return NotFound("there is no note {}", id);
  Note note = ReadNote(select);
  QWEN25_RETURN_IF_ERROR(FillNote(note, /*with_text=*/true));
  return note;
}

Result<std::vector<Note>> NoteStore::List(const NoteFilter& filter, bool with_text) {
  QWEN25_TRY(Statement select,
             database_.Prepare(SelectNotes(TurnColumns()) +
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
  QWEN25_TRY(Statement chunks, database_.Prepare("SELECT c.id, c.namespace, c.text, n.speaker FROM chunks c "
                                                 "JOIN notes n ON n.id = c.note WHERE c.note = ?"));
  chunks.Bind(1, id);
  while (true) {
    QWEN25_TRY(const bool row, chunks.Step());
    if (!row) break;
    const int64_t name_space = chunks.Int(1);
    QWEN25_TRY(Statement words,
               database_.Prepare(fmt::format(
                   "INSERT INTO words_{0} (words_{0}, rowid, terms) VALUES ('delete', ?, ?)", name_space)));
    const std::string terms = JoinedTerms(chunks.Text(3), chunks.Text(2));
    QWEN25_RETURN_IF_ERROR(words.Bind(1, chunks.Int(0)).Bind(2, terms).Run());
  }
  QWEN25_TRY(const std::vector<int64_t> orphans,
             Ids(fmt::format("SELECT id FROM notes WHERE superseded_by = {}", id)));
  for (const int64_t orphan : orphans) {
    QWEN25_RETURN_IF_ERROR(
        database_.Execute(fmt::format("UPDATE notes SET superseded_by = NULL WHERE id = {}", orphan)));
    QWEN25_RETURN_IF_ERROR(UpdateSum(orphan));
  }
  QWEN25_TRY(Statement remove, database_.Prepare("DELETE FROM notes WHERE id = ?"));
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
  QWEN25_TRY(const std::vector<int64_t> ids, Ids("SELECT id FROM namespaces"));
  for (const int64_t id : ids) {
    // FTS5 keeps deleted terms until its segments are merged; graphs keep removed vectors.
    QWEN25_RETURN_IF_ERROR(
        database_.Execute(fmt::format("INSERT INTO words_{0} (words_{0}) VALUES ('optimize')", id)));
    std::error_code ignored;
    std::filesystem::remove(CachePath(id), ignored);
    std::filesystem::remove(CachePath(id) + ".tmp", ignored);  // an older version was killed while saving
    indexes_.erase(id);
  }
  QWEN25_RETURN_IF_ERROR(database_.Execute("VACUUM"));
  QWEN25_TRY(const int64_t busy, database_.QueryInt("PRAGMA wal_checkpoint(TRUNCATE)"));
  if (busy != 0) {
    return ResourceExhausted(
        "{}: the notes are gone, but another process that reads the file keeps their traces in its log; "
        "close it and run `qwen25 memory forget --erase` again",
        database_.path());
  }
  return {};
}

}  // namespace qwen25

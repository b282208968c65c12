// What a store holds, and checks that it is what was written.
#include <algorithm>

#include "base/hash.h"
#include "knowledge/note_rows.h"
#include "knowledge/note_store.h"
#include "knowledge/search_terms.h"

namespace qwen25 {
namespace {

constexpr size_t kNamed = 5;            // damaged rows that a message names
constexpr size_t kChunksAtOnce = 1000;  // indexed anew to compare their terms

// Joins fields, each text after its length, so that no two rows give the same bytes.
class RowBytes {
 public:
  void Add(int64_t number) { bytes_.append(reinterpret_cast<const char*>(&number), sizeof number); }
  void Add(std::string_view text) {
    Add(static_cast<int64_t>(text.size()));
    bytes_ += text;
  }
  int64_t Sum() const { return static_cast<int64_t>(Hash64(std::as_bytes(std::span(bytes_)))); }

 private:
  std::string bytes_;
};

std::string Named(const std::vector<int64_t>& ids) {
  const std::span<const int64_t> first = std::span(ids).first(std::min(ids.size(), kNamed));
  return fmt::format("{}{}", fmt::join(first, ", "), ids.size() > kNamed ? ", ..." : "");
}

// Sums over the entries of a full-text table, in any order. Tables are named as "schema.name".
struct WordEntries {
  uint64_t terms = 0, lengths = 0;

  Status Add(Database& database, const std::string& vocabulary, const std::string& words) {
    QWEN25_TRY(Statement entry, database.Prepare("SELECT term, doc, offset FROM " + vocabulary));
    while (true) {
      QWEN25_TRY(const bool row, entry.Step());
      if (!row) break;
      RowBytes bytes;
      bytes.Add(entry.Text(0));
      bytes.Add(entry.Int(1));
      bytes.Add(entry.Int(2));
      terms += static_cast<uint64_t>(bytes.Sum());
    }
    QWEN25_TRY(Statement length, database.Prepare("SELECT id, sz FROM " + words + "_docsize"));
    while (true) {
      QWEN25_TRY(const bool row, length.Step());
      if (!row) return {};
      lengths += Hash64(length.Blob(1), static_cast<uint64_t>(length.Int(0)));
    }
  }

  friend bool operator==(const WordEntries&, const WordEntries&) = default;
};

}  // namespace

Result<NoteStats> NoteStore::Stats() {
  NoteStats stats;
  const auto count = [&](const char* sql) -> Result<uint64_t> {
    QWEN25_TRY(const int64_t value, database_.QueryInt(sql));
    return static_cast<uint64_t>(value);
  };
  QWEN25_TRY(stats.notes, count("SELECT count(*) FROM notes"));
  QWEN25_TRY(stats.superseded, count("SELECT count(*) FROM notes WHERE superseded_by IS NOT NULL"));
  QWEN25_TRY(stats.chunks, count("SELECT count(*) FROM chunks"));
  QWEN25_TRY(stats.embedded, count("SELECT count(*) FROM embeddings"));
  QWEN25_TRY(Statement namespaces,
             database_.Prepare(
                 "SELECT s.name, count(n.id) FROM namespaces s LEFT JOIN notes n ON n.namespace = s.id "
                 "GROUP BY s.id ORDER BY s.name"));
  while (true) {
    QWEN25_TRY(const bool row, namespaces.Step());
    if (!row) break;
    stats.namespaces.emplace_back(namespaces.Text(0), static_cast<uint64_t>(namespaces.Int(1)));
  }
  for (const char* name : {"notes.sqlite", "notes.sqlite-wal"}) {
    std::error_code missing;
    const uint64_t bytes = std::filesystem::file_size(directory_ / name, missing);
    if (!missing) stats.file_bytes += bytes;
  }
  QWEN25_TRY(const std::optional<EmbedderId> embedder, StoredEmbedder());
  if (embedder) stats.embedder = embedder->ToString();
  return stats;
}

Result<int64_t> NoteStore::SumOf(int64_t note) {
  RowBytes bytes;
  QWEN25_TRY(Statement row,
             database_.Prepare("SELECT s.name, n.title, n.source, n.content_hash, n.created_ms, "
                               "n.updated_ms, coalesce(n.superseded_by, 0), " +
                               std::string(TurnColumns()) +
                               " FROM notes n JOIN namespaces s ON s.id = n.namespace WHERE n.id = ?"));
  QWEN25_TRY(const bool found, row.Bind(1, note).Step());
  if (!found) return Corrupt("{}: the namespace of note {} is missing", database_.path(), note);
  for (int column = 0; column < 4; ++column) bytes.Add(row.Text(column));
  for (int column = 4; column < 7; ++column) bytes.Add(row.Int(column));
  QWEN25_TRY(Statement tags, database_.Prepare("SELECT tag FROM tags WHERE note = ? ORDER BY tag"));
  tags.Bind(1, note);
  while (true) {
    QWEN25_TRY(const bool more, tags.Step());
    if (!more) break;
    bytes.Add(tags.Text(0));
  }
  QWEN25_TRY(Statement chunks,
             database_.Prepare("SELECT id, namespace, first_byte, end_byte, text FROM chunks "
                               "WHERE note = ? ORDER BY id"));
  chunks.Bind(1, note);
  while (true) {
    QWEN25_TRY(const bool more, chunks.Step());
    if (!more) break;
    for (int column = 0; column < 4; ++column) bytes.Add(chunks.Int(column));
    bytes.Add(chunks.Text(4));
  }
  // Notes that are no turns keep the sums that they had before version 3. No chunk has a negative number.
  if (!row.Text(7).empty() || !row.Text(8).empty()) {
    bytes.Add(int64_t{-1});
    bytes.Add(row.Text(7));
    bytes.Add(row.Text(8));
  }
  return bytes.Sum();
}

Status NoteStore::UpdateSum(int64_t note) {
  QWEN25_TRY(const int64_t sum, SumOf(note));
  QWEN25_TRY(Statement update, database_.Prepare("UPDATE notes SET sum = ? WHERE id = ?"));
  return update.Bind(1, sum).Bind(2, note).Run();
}

Status NoteStore::Verify() {
  QWEN25_RETURN_IF_ERROR(VerifyFile());
  QWEN25_RETURN_IF_ERROR(VerifyNotes());
  QWEN25_RETURN_IF_ERROR(VerifyVectors());
  QWEN25_TRY(Statement namespaces, database_.Prepare("SELECT id, name FROM namespaces"));
  std::vector<std::pair<int64_t, std::string>> ids;
  while (true) {
    QWEN25_TRY(const bool more, namespaces.Step());
    if (!more) break;
    ids.emplace_back(namespaces.Int(0), namespaces.Text(1));
  }
  for (const auto& [id, name] : ids) QWEN25_RETURN_IF_ERROR(VerifyWords(id, name));
  return {};
}

Status NoteStore::VerifyFile() {
  QWEN25_TRY(Statement check, database_.Prepare("PRAGMA integrity_check(1)"));
  QWEN25_TRY(const bool row, check.Step());
  if (!row || check.Text(0) == "ok") return {};
  const std::string damage = database_.damage();
  return Corrupt("{}: {}; restore it from a backup or an export", database_.path(),
                 damage.empty() ? check.Text(0) : damage);
}

Status NoteStore::VerifyNotes() {
  QWEN25_TRY(const std::vector<int64_t> ids, Ids("SELECT id FROM notes ORDER BY id"));
  QWEN25_TRY(Statement select,
             database_.Prepare(has_sums_ ? "SELECT content_hash, sum FROM notes WHERE id = ?"
                                         : "SELECT content_hash, NULL FROM notes WHERE id = ?"));
  std::vector<int64_t> damaged;
  for (const int64_t id : ids) {
    QWEN25_TRY(const bool row, select.Bind(1, id).Step());
    if (!row) continue;  // forgotten by another process
    const Result<std::string> text = TextOf(id);
    bool is_sound = text.ok() && !text->empty() && std::ranges::equal(select.Blob(0), ContentHash(*text));
    if (is_sound && !select.IsNull(1)) {
      const Result<int64_t> sum = SumOf(id);
      is_sound = sum.ok() && *sum == select.Int(1);
    }
    if (!is_sound) damaged.push_back(id);
  }
  if (damaged.empty()) return {};
  return Corrupt(
      "{}: {} of {} notes are not what was written: {}; forget them, and restore them from a backup or an "
      "export",
      database_.path(), damaged.size(), ids.size(), Named(damaged));
}

Status NoteStore::VerifyVectors() {
  if (!has_sums_) return {};
  QWEN25_TRY(Statement select, database_.Prepare("SELECT chunk, vector, sum FROM embeddings"));
  std::vector<int64_t> damaged;
  while (true) {
    QWEN25_TRY(const bool row, select.Step());
    if (!row) break;
    if (!select.IsNull(2) && VectorSum(select.Int(0), select.Blob(1)) != select.Int(2)) {
      damaged.push_back(select.Int(0));
    }
  }
  if (damaged.empty()) return {};
  return Corrupt(
      "{}: the vectors of {} chunks are not what was written: {}; `qwen25 memory reindex` makes them again",
      database_.path(), damaged.size(), Named(damaged));
}

// Indexes the terms of all chunks again, kChunksAtOnce at a time, and compares the entries with the stored
// ones.
Status NoteStore::VerifyWords(int64_t name_space, const std::string& name) {
  const auto damaged = [&](const std::string& what) {
    return Corrupt("{}: the word index of namespace \"{}\" is damaged: {}", database_.path(), name, what);
  };
  if (!database_.read_only()) {
    const Status status = database_.Execute(
        fmt::format("INSERT INTO words_{0} (words_{0}) VALUES ('integrity-check')", name_space));
    if (!status.ok()) return damaged(status.message());
  }
  QWEN25_TRY(const std::string version, GetSetting("terms"));
  if (version != SearchTermsVersion()) return {};  // a store of older rules that can only be read
  QWEN25_RETURN_IF_ERROR(database_.Execute(fmt::format(
      "DROP TABLE IF EXISTS temp.stored_terms; DROP TABLE IF EXISTS temp.made_terms; DROP TABLE IF EXISTS "
      "temp.made; CREATE VIRTUAL TABLE temp.stored_terms USING fts5vocab('main', 'words_{}', 'instance'); "
      "CREATE VIRTUAL TABLE temp.made USING fts5({}); "
      "CREATE VIRTUAL TABLE temp.made_terms USING fts5vocab('temp', 'made', 'instance')",
      name_space, kWordsOptions)));
  WordEntries stored, made;
  if (const Status status =
          stored.Add(database_, "temp.stored_terms", fmt::format("main.words_{}", name_space));
      !status.ok()) {
    return damaged(status.message());
  }
  QWEN25_TRY(const std::vector<int64_t> chunks,
             Ids(fmt::format("SELECT id FROM chunks WHERE namespace = {} ORDER BY id", name_space)));
  {
    QWEN25_TRY(Statement text,
               database_.Prepare(fmt::format("SELECT c.text, {} FROM chunks c JOIN notes n ON n.id = "
                                             "c.note WHERE c.id = ?",
                                             TurnColumns())));
    QWEN25_TRY(Statement insert, database_.Prepare("INSERT INTO temp.made (rowid, terms) VALUES (?, ?)"));
    for (size_t i = 0; i < chunks.size(); ++i) {
      QWEN25_TRY(const bool row, text.Bind(1, chunks[i]).Step());
      const std::string terms = row ? JoinedTerms(text.Text(1), text.Text(0)) : "";
      QWEN25_RETURN_IF_ERROR(insert.Bind(1, chunks[i]).Bind(2, terms).Run());
      if ((i + 1) % kChunksAtOnce != 0 && i + 1 != chunks.size()) continue;
      QWEN25_RETURN_IF_ERROR(made.Add(database_, "temp.made_terms", "temp.made"));
      QWEN25_RETURN_IF_ERROR(database_.Execute("INSERT INTO temp.made (made) VALUES ('delete-all')"));
    }
  }
  QWEN25_RETURN_IF_ERROR(
      database_.Execute("DROP TABLE temp.stored_terms; DROP TABLE temp.made_terms; DROP TABLE temp.made"));
  return stored == made ? Status() : damaged("its terms are not those of the notes");
}

}  // namespace qwen25

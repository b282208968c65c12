// Searching, and keeping the graphs in step with the table of vectors.
#include <algorithm>
#include <cstring>

#include "base/dtype.h"
#include "knowledge/note_store.h"
#include "knowledge/search_terms.h"

namespace qwen25 {
namespace {

constexpr double kFusionConstant = 60;  // of Cormack et al.
// From this many chunks on, words that stand in more than this share of them are left out of a query that has
// rarer ones: they cost the most to look up and say the least.
constexpr int64_t kMinChunksToDrop = 1000;
constexpr double kMaxShare = 0.1;
// A cache is written when more than one in this many of its vectors changed.
constexpr size_t kChangesPerSave = 16;

// Which chunks a search may give.
class ChunkFilter {
 public:
  static Result<ChunkFilter> Make(Database& database, const NoteSearch& search) {
    QWEN25_TRY(Statement note,
               database.Prepare("SELECT n.id, n.source, n.superseded_by FROM chunks c JOIN notes n "
                                "ON n.id = c.note WHERE c.id = ?"));
    QWEN25_TRY(Statement tag, database.Prepare("SELECT 1 FROM tags WHERE note = ? AND tag = ?"));
    return ChunkFilter(search, std::move(note), std::move(tag));
  }

  Result<bool> Allows(int64_t chunk) {
    QWEN25_TRY(const bool row, note_.Bind(1, chunk).Step());
    if (!row) return false;
    if (!search_.include_superseded && !note_.IsNull(2)) return false;
    if (!search_.source.empty() && note_.Text(1) != search_.source) return false;
    const int64_t note = note_.Int(0);
    for (const std::string& wanted : search_.tags) {
      QWEN25_TRY(const bool tagged, tag_.Bind(1, note).Bind(2, wanted).Step());
      if (!tagged) return false;
    }
    return true;
  }

 private:
  ChunkFilter(const NoteSearch& search, Statement note, Statement tag)
      : search_(search), note_(std::move(note)), tag_(std::move(tag)) {}

  const NoteSearch& search_;
  Statement note_, tag_;
};

constexpr std::string_view kSelectChunks =
    "SELECT c.id, n.id, s.name, n.title, n.source, c.text, c.first_byte, c.end_byte, n.created_ms, "
    "n.superseded_by FROM chunks c JOIN notes n ON n.id = c.note JOIN namespaces s ON s.id = n.namespace";

// A row of it.
void ReadChunk(const Statement& row, NoteHit& hit) {
  hit.chunk = row.Int(0);
  hit.note = row.Int(1);
  hit.name_space = row.Text(2);
  hit.title = row.Text(3);
  hit.source = row.Text(4);
  hit.text = row.Text(5);
  hit.range = {static_cast<size_t>(row.Int(6)), static_cast<size_t>(row.Int(7))};
  hit.created_ms = row.Int(8);
  hit.superseded = !row.IsNull(9);
}

std::string Quoted(const SearchTerm& term) {
  return "\"" + term.text + (term.prefix ? "\"*" : "\"");  // terms hold letters, marks and digits alone
}

}  // namespace

double ReciprocalRankScore(size_t rank, double weight) {
  return rank == 0 ? 0 : weight / (kFusionConstant + static_cast<double>(rank));
}

std::string NoteStore::CachePath(int64_t name_space) const {
  return (directory_ / fmt::format("notes.vectors-{}.hnsw", name_space)).string();
}

// Of a database that is no more: their vectors would stay, and stay in the clear where this one is encrypted.
void NoteStore::RemoveForeignCaches() const {
  std::error_code error;
  std::vector<std::filesystem::path> caches;
  for (std::filesystem::directory_iterator item(directory_, error), end; !error && item != end;
       item.increment(error)) {
    if (item->path().filename().string().starts_with("notes.vectors-")) caches.push_back(item->path());
  }
  for (const std::filesystem::path& cache : caches) std::filesystem::remove(cache, error);
}

Result<std::string> NoteStore::MatchExpression(const std::string& query, int64_t name_space) {
  const std::vector<SearchTerm> terms = QueryTermsOf(query);
  QWEN25_TRY(const int64_t chunks,
             database_.QueryInt(fmt::format("SELECT count(*) FROM chunks WHERE namespace = {}", name_space)));
  std::vector<std::string> wanted;
  if (chunks >= kMinChunksToDrop && terms.size() > 1) {
    QWEN25_TRY(Statement frequency,
               database_.Prepare(fmt::format("SELECT doc FROM vocabulary_{} WHERE term = ?", name_space)));
    for (const SearchTerm& term : terms) {
      QWEN25_TRY(const bool row, frequency.Bind(1, term.text).Step());
      const double share = row ? static_cast<double>(frequency.Int(0)) / static_cast<double>(chunks) : 0;
      if (share <= kMaxShare) wanted.push_back(Quoted(term));
    }
  }
  if (wanted.empty()) std::ranges::transform(terms, std::back_inserter(wanted), Quoted);
  return fmt::format("{}", fmt::join(wanted, " OR "));
}

Result<std::vector<NoteStore::Candidate>> NoteStore::SearchWords(const NoteSearch& search,
                                                                 int64_t name_space) {
  std::vector<Candidate> found;
  QWEN25_TRY(const std::string expression, MatchExpression(search.query, name_space));
  if (expression.empty()) return found;
  QWEN25_TRY(Statement match,
             database_.Prepare(fmt::format("SELECT rowid, rank FROM words_{0} WHERE words_{0} "
                                           "MATCH ? ORDER BY rank",
                                           name_space)));
  match.Bind(1, expression);
  QWEN25_TRY(ChunkFilter filter, ChunkFilter::Make(database_, search));
  while (found.size() < search.candidates) {
    QWEN25_TRY(const bool row, match.Step());
    if (!row) break;
    const Candidate candidate{match.Int(0),
                              -match.Double(1)};  // FTS5 gives the negative, so that best is least
    QWEN25_TRY(const bool allowed, filter.Allows(candidate.chunk));
    if (allowed) found.push_back(candidate);
  }
  return found;
}

Status NoteStore::UpdateIndex(int64_t name_space, NamespaceIndex& index) {
  QWEN25_TRY(const int64_t version, DataVersion());
  if (index.vectors && index.data_version == version) return {};
  const uint32_t dimension = embedder_->id().dimension;
  if (!index.vectors) {
    QWEN25_TRY(const std::string hash, GetSetting(fmt::format("vectors_{}", name_space)));
    if (hash.size() == 16) {
      const uint64_t wanted = std::strtoull(hash.c_str(), nullptr, 16);
      if (auto loaded = VectorIndex::Load(CachePath(name_space), dimension, wanted, CacheCipher());
          loaded.ok()) {
        index.vectors.emplace(std::move(*loaded));
      }
    }
    if (!index.vectors) index.vectors.emplace(dimension);
  }
  // Ids are never used twice and vectors never change, so that the sets of ids say everything.
  std::unordered_set<int64_t> gone = index.vectors->ids();
  std::vector<int64_t> fresh;
  {
    QWEN25_TRY(Statement ids,
               database_.Prepare("SELECT c.id FROM chunks c JOIN embeddings e ON e.chunk = c.id "
                                 "WHERE c.namespace = ? ORDER BY c.id"));
    ids.Bind(1, name_space);
    while (true) {
      QWEN25_TRY(const bool row, ids.Step());
      if (!row) break;
      if (gone.erase(ids.Int(0)) == 0) fresh.push_back(ids.Int(0));
    }
  }
  if (index.vectors->num_removed() + gone.size() > index.vectors->size() + fresh.size() && !gone.empty()) {
    // More dead than alive: a new graph is smaller and faster.
    index.vectors.emplace(dimension);
    return UpdateIndex(name_space, index);
  }
  for (const int64_t id : gone) index.vectors->Remove(id);
  QWEN25_TRY(Statement vector, database_.Prepare("SELECT vector FROM embeddings WHERE chunk = ?"));
  std::vector<float> decoded(dimension);
  for (const int64_t id : fresh) {
    QWEN25_TRY(const bool row, vector.Bind(1, id).Step());
    const std::span<const std::byte> bytes = row ? vector.Blob(0) : std::span<const std::byte>();
    if (bytes.size() != dimension * sizeof(uint16_t)) {
      return Corrupt(
          "{}: the vector of chunk {} has {} bytes, wanted {}; `qwen25 memory reindex` makes it again",
          database_.path(), id, bytes.size(), dimension * sizeof(uint16_t));
    }
    for (uint32_t d = 0; d < dimension; ++d) {
      uint16_t half;
      std::memcpy(&half, bytes.data() + d * sizeof half, sizeof half);
      decoded[d] = Float16ToFloat(half);
    }
    QWEN25_RETURN_IF_ERROR(index.vectors->Add(id, decoded));
  }
  index.num_changes += gone.size() + fresh.size();
  index.data_version = version;
  return {};
}

Result<NoteStore::NamespaceIndex*> NoteStore::IndexOf(int64_t name_space) {
  NamespaceIndex& index = indexes_[name_space];
  QWEN25_RETURN_IF_ERROR(UpdateIndex(name_space, index));
  return &index;
}

Result<std::vector<NoteStore::Candidate>> NoteStore::SearchVectors(const NoteSearch& search,
                                                                   int64_t name_space,
                                                                   std::span<const float> query) {
  QWEN25_TRY(NamespaceIndex * index, IndexOf(name_space));
  QWEN25_TRY(ChunkFilter filter, ChunkFilter::Make(database_, search));
  // Filters act on what the graph gives, so more is asked for until enough is left.
  for (size_t asked = search.candidates;; asked *= 4) {
    const std::vector<VectorHit> hits = index->vectors->Search(query, asked);
    std::vector<Candidate> found;
    for (const VectorHit& hit : hits) {
      QWEN25_TRY(const bool allowed, filter.Allows(hit.id));
      if (allowed) found.push_back({hit.id, hit.score});
      if (found.size() == search.candidates) break;
    }
    if (found.size() == search.candidates || asked >= index->vectors->size()) return found;
  }
}

Status NoteStore::SearchNamespace(const NoteSearch& search, const std::string& name,
                                  std::vector<Candidate>& words, std::vector<Candidate>& vectors,
                                  std::span<const float> query_vector) {
  QWEN25_TRY(const int64_t name_space, NamespaceId(name, /*create=*/false));
  if (name_space == 0) return {};
  if (search.mode != SearchMode::kVectors) {
    QWEN25_TRY(const std::vector<Candidate> found, SearchWords(search, name_space));
    words.insert(words.end(), found.begin(), found.end());
  }
  if (!query_vector.empty()) {
    QWEN25_TRY(const std::vector<Candidate> found, SearchVectors(search, name_space, query_vector));
    vectors.insert(vectors.end(), found.begin(), found.end());
  }
  return {};
}

Result<std::vector<NoteHit>> NoteStore::Search(const NoteSearch& search) {
  if (search.mode == SearchMode::kVectors && embedder_ == nullptr) {
    return InvalidArgument("a search by vectors needs an embedder; the store was opened without one");
  }
  if (search.limit == 0 || search.candidates == 0)
    return InvalidArgument("a search must be allowed one result");
  std::vector<float> query_vector;
  if (search.mode != SearchMode::kWords && embedder_ != nullptr) {
    query_vector.resize(embedder_->id().dimension);
    QWEN25_RETURN_IF_ERROR(embedder_->Embed(EmbedKind::kQuery, {&search.query, 1}, query_vector));
    if (std::ranges::all_of(query_vector, [](float value) { return value == 0; })) query_vector.clear();
  }
  NoteSearch wanted = search;
  wanted.candidates = std::max(search.candidates, search.limit);
  std::vector<Candidate> words, vectors;
  for (const std::string& name : search.namespaces) {
    QWEN25_RETURN_IF_ERROR(SearchNamespace(wanted, name, words, vectors, query_vector));
  }
  // Lists of several namespaces meet by score; chunk ids break ties.
  const auto better = [](const Candidate& a, const Candidate& b) {
    return a.score != b.score ? a.score > b.score : a.chunk < b.chunk;
  };
  std::ranges::sort(words, better);
  std::ranges::sort(vectors, better);
  std::map<int64_t, NoteHit> fused;
  for (size_t i = 0; i < words.size(); ++i) {
    NoteHit& hit = fused[words[i].chunk];
    hit.word_rank = i + 1;
    hit.bm25 = words[i].score;
  }
  for (size_t i = 0; i < vectors.size(); ++i) {
    NoteHit& hit = fused[vectors[i].chunk];
    hit.vector_rank = i + 1;
    hit.cosine = vectors[i].score;
  }
  const double vector_weight =
      embedder_ == nullptr || search.mode == SearchMode::kVectors ? 1 : embedder_->fusion_weight();
  std::vector<NoteHit> hits;
  for (auto& [chunk, hit] : fused) {
    hit.chunk = chunk;
    hit.score = ReciprocalRankScore(hit.word_rank) + ReciprocalRankScore(hit.vector_rank, vector_weight);
    hits.push_back(std::move(hit));
  }
  std::ranges::stable_sort(hits, std::greater(), &NoteHit::score);
  hits.resize(std::min(hits.size(), search.limit));
  QWEN25_TRY(Statement place, database_.Prepare(fmt::format("{} WHERE c.id = ?", kSelectChunks)));
  for (NoteHit& hit : hits) {
    QWEN25_TRY(const bool row, place.Bind(1, hit.chunk).Step());
    if (row) ReadChunk(place, hit);  // else removed by another process just now
  }
  std::erase_if(hits, [](const NoteHit& hit) { return hit.note == 0; });
  return hits;
}

Result<std::vector<NoteHit>> NoteStore::Chunks(const std::string& name_space) {
  QWEN25_TRY(Statement chunks,
             database_.Prepare(fmt::format("{} WHERE s.name = ? AND n.superseded_by IS NULL ORDER BY c.id",
                                           kSelectChunks)));
  chunks.Bind(1, name_space);
  std::vector<NoteHit> hits;
  while (true) {
    QWEN25_TRY(const bool row, chunks.Step());
    if (!row) return hits;
    ReadChunk(chunks, hits.emplace_back());
  }
}

Result<double> NoteStore::UnrelatedCosine() {
  if (embedder_ == nullptr) return 1;
  if (!unrelated_cosine_) {
    QWEN25_TRY(unrelated_cosine_, qwen25::UnrelatedCosine(*embedder_));
  }
  return *unrelated_cosine_;
}

Status NoteStore::SaveVectorCaches() {
  for (auto& [name_space, index] : indexes_) {
    if (!index.vectors || index.num_changes * kChangesPerSave <= index.vectors->size()) continue;
    QWEN25_TRY(const uint64_t hash, index.vectors->Save(CachePath(name_space), CacheCipher()));
    QWEN25_RETURN_IF_ERROR(SetSetting(fmt::format("vectors_{}", name_space), fmt::format("{:016x}", hash)));
    index.num_changes = 0;
  }
  return {};
}

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

Status NoteStore::Verify() {
  QWEN25_TRY(Statement check, database_.Prepare("PRAGMA integrity_check(1)"));
  QWEN25_TRY(const bool row, check.Step());
  if (row && check.Text(0) != "ok") {
    const std::string damage = database_.damage();
    return Corrupt("{}: {}; restore it from a backup or an export", database_.path(),
                   damage.empty() ? check.Text(0) : damage);
  }
  QWEN25_TRY(const std::vector<Note> notes, List({}));
  for (const Note& note : notes) {
    QWEN25_TRY(const std::string text, TextOf(note.id));
    if (text.empty()) return Corrupt("{}: note {} has no text", database_.path(), note.id);
  }
  QWEN25_TRY(Statement namespaces, database_.Prepare("SELECT id, name FROM namespaces"));
  std::vector<std::pair<int64_t, std::string>> ids;
  while (true) {
    QWEN25_TRY(const bool more, namespaces.Step());
    if (!more) break;
    ids.emplace_back(namespaces.Int(0), namespaces.Text(1));
  }
  for (const auto& [id, name] : ids) {
    if (Status status = database_.Execute(
            fmt::format("INSERT INTO words_{0} (words_{0}) VALUES ('integrity-check')", id));
        !status.ok()) {
      return Corrupt("{}: the word index of namespace \"{}\" is damaged: {}", database_.path(), name,
                     status.message());
    }
    QWEN25_TRY(const int64_t indexed, database_.QueryInt(fmt::format("SELECT count(*) FROM words_{}", id)));
    QWEN25_TRY(const int64_t wanted,
               database_.QueryInt(fmt::format("SELECT count(*) FROM chunks WHERE namespace = {}", id)));
    if (indexed != wanted) {
      return Corrupt("{}: namespace \"{}\" has {} chunks and {} in its word index", database_.path(), name,
                     wanted, indexed);
    }
  }
  return {};
}

}  // namespace qwen25

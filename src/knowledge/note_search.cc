// Searches notes by words, by vectors, or by both.
#include <algorithm>
#include <cstring>

#include "base/dtype.h"
#include "knowledge/note_store.h"
#include "knowledge/search_terms.h"

namespace qwen25 {
namespace {

constexpr double kFusionConstant = 60;  // of Cormack et al.
// From kMinChunksToDrop chunks on, a query is searched without the words that stand in more than kMaxShare of
// the chunks, if it has rarer ones: common words cost the most to look up and say the least.
constexpr int64_t kMinChunksToDrop = 1000;
constexpr double kMaxShare = 0.1;

// Tells which chunks a search may return.
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

// Reads a row of kSelectChunks.
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
  return "\"" + term.text + (term.prefix ? "\"*" : "\"");  // no term holds a quote
}

}  // namespace

double ReciprocalRankScore(size_t rank, double weight) {
  return rank == 0 ? 0 : weight / (kFusionConstant + static_cast<double>(rank));
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
    const Candidate candidate{match.Int(0), -match.Double(1)};  // FTS5 gives negative scores
    QWEN25_TRY(const bool allowed, filter.Allows(candidate.chunk));
    if (allowed) found.push_back(candidate);
  }
  return found;
}

Result<std::vector<NoteStore::Candidate>> NoteStore::SearchVectors(const NoteSearch& search,
                                                                   int64_t name_space,
                                                                   std::span<const float> query) {
  QWEN25_TRY(NamespaceIndex * index, IndexOf(name_space));
  QWEN25_TRY(ChunkFilter filter, ChunkFilter::Make(database_, search));
  // Filters act on the graph's results, so more are requested until enough are left.
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
    return InvalidArgument("limit and candidates of a search must be at least 1");
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
  // The lists of several namespaces are merged by score; chunk ids break ties.
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
    if (row) ReadChunk(place, hit);  // else another process has just removed it
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

}  // namespace qwen25

// Searches notes by words, by vectors, or by both (docs/memory.md).
#include <algorithm>
#include <cstring>

#include "base/dtype.h"
#include "knowledge/note_rows.h"
#include "knowledge/note_store.h"
#include "knowledge/search_terms.h"

namespace qwen25 {
namespace {

// From kMinChunksToDrop chunks on, a query is searched without the words that stand in more than kMaxShare of
// the chunks, if it has rarer ones: common words cost the most to look up and say the least.
constexpr int64_t kMinChunksToDrop = 1000;
constexpr double kMaxShare = 0.1;
// The best matches, which share their scores with their neighbours. The others would add little, and each
// costs some reading.
constexpr size_t kSharing = 32;
// Places at which IsConversation looks.
constexpr int64_t kSampledRows = 256;

// Tells which chunks a search may return, and reads what ranking goes by.
class ChunkFilter {
 public:
  static Result<ChunkFilter> Make(Database& database, const NoteSearch& search, const char* turn) {
    QWEN25_TRY(Statement note,
               database.Prepare(fmt::format("SELECT n.id, n.source, n.superseded_by, n.created_ms, {} FROM "
                                            "chunks c JOIN notes n ON n.id = c.note WHERE c.id = ?",
                                            turn)));
    QWEN25_TRY(Statement tag, database.Prepare("SELECT 1 FROM tags WHERE note = ? AND tag = ?"));
    return ChunkFilter(search, std::move(note), std::move(tag));
  }

  // Nothing for a chunk that must not be returned.
  Result<std::optional<ChunkFields>> Allowed(int64_t chunk) {
    QWEN25_TRY(const bool row, note_.Bind(1, chunk).Step());
    if (!row) return std::optional<ChunkFields>();
    if (!search_.include_superseded && !note_.IsNull(2)) return std::optional<ChunkFields>();
    if (!search_.source.empty() && note_.Text(1) != search_.source) return std::optional<ChunkFields>();
    ChunkFields fields{.note = note_.Int(0),
                       .created_ms = note_.Int(3),
                       .speaker = std::string(note_.Text(4)),
                       .session = std::string(note_.Text(5))};
    for (const std::string& wanted : search_.tags) {
      QWEN25_TRY(const bool tagged, tag_.Bind(1, fields.note).Bind(2, wanted).Step());
      if (!tagged) return std::optional<ChunkFields>();
    }
    return std::optional(std::move(fields));
  }

 private:
  ChunkFilter(const NoteSearch& search, Statement note, Statement tag)
      : search_(search), note_(std::move(note)), tag_(std::move(tag)) {}

  const NoteSearch& search_;
  Statement note_, tag_;
};

// The chunks that were added to a namespace just before and after another one.
class NeighbourReader {
 public:
  static Result<NeighbourReader> Make(Database& database) {
    QWEN25_TRY(Statement before, database.Prepare("SELECT id FROM chunks WHERE namespace = ? AND id < ? "
                                                  "ORDER BY id DESC LIMIT ?"));
    QWEN25_TRY(Statement after, database.Prepare("SELECT id FROM chunks WHERE namespace = ? AND id > ? "
                                                 "ORDER BY id LIMIT ?"));
    return NeighbourReader(std::move(before), std::move(after));
  }

  // Calls visit(id, distance), nearest first on each side, distances from 1 to kNeighbours.
  template <typename Visit>
  Status ForEach(int64_t name_space, int64_t chunk, Visit visit) {
    for (Statement* side : {&before_, &after_}) {
      side->Bind(1, name_space).Bind(2, chunk).Bind(3, static_cast<int64_t>(kNeighbours));
      for (size_t distance = 1;; ++distance) {
        QWEN25_TRY(const bool row, side->Step());
        if (!row) break;
        QWEN25_RETURN_IF_ERROR(visit(side->Int(0), distance));
      }
    }
    return {};
  }

 private:
  NeighbourReader(Statement before, Statement after) : before_(std::move(before)), after_(std::move(after)) {}
  Statement before_, after_;
};

// `turn`: NoteStore::TurnColumns.
std::string SelectChunks(const char* turn) {
  return fmt::format(
      "SELECT c.id, n.id, s.name, n.title, n.source, c.text, c.first_byte, c.end_byte, n.created_ms, "
      "n.superseded_by, {} FROM chunks c JOIN notes n ON n.id = c.note JOIN namespaces s ON s.id = "
      "n.namespace",
      turn);
}

// Reads a row of SelectChunks.
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
  hit.speaker = row.Text(10);
  hit.session = row.Text(11);
}

std::string Quoted(const SearchTerm& term) {
  return "\"" + term.text + (term.prefix ? "\"*" : "\"");  // no term holds a quote
}

}  // namespace

Result<std::vector<WeightedTerm>> NoteStore::TermsToSearch(const std::string& query, int64_t name_space) {
  std::vector<WeightedTerm> terms = IndexQueryOf(query);
  QWEN25_TRY(const int64_t chunks,
             database_.QueryInt(fmt::format("SELECT count(*) FROM chunks WHERE namespace = {}", name_space)));
  if (chunks < kMinChunksToDrop || terms.size() < 2) return terms;
  std::vector<WeightedTerm> rarer;
  QWEN25_TRY(Statement frequency,
             database_.Prepare(fmt::format("SELECT doc FROM vocabulary_{} WHERE term = ?", name_space)));
  for (const WeightedTerm& term : terms) {
    QWEN25_TRY(const bool row, frequency.Bind(1, term.term.text).Step());
    const double share = row ? static_cast<double>(frequency.Int(0)) / static_cast<double>(chunks) : 0;
    if (share <= kMaxShare) rarer.push_back(term);
  }
  return rarer.empty() ? terms : rarer;
}

Status NoteStore::SearchWords(const NoteSearch& search, int64_t name_space, Candidates& found) {
  QWEN25_TRY(const std::vector<WeightedTerm> terms, TermsToSearch(search.query, name_space));
  if (terms.empty()) return {};
  std::vector<std::string> expression;
  std::vector<float> weights;
  for (const WeightedTerm& term : terms) {
    expression.push_back(Quoted(term.term));
    weights.push_back(term.weight);
  }
  QWEN25_TRY(Statement match,
             database_.Prepare(fmt::format("SELECT rowid, rank FROM words_{0} WHERE words_{0} MATCH ? AND "
                                           "rank MATCH 'word_rank({1})' ORDER BY rank",
                                           name_space, fmt::join(weights, ", "))));
  const std::string joined = fmt::format("{}", fmt::join(expression, " OR "));
  match.Bind(1, joined);
  QWEN25_TRY(ChunkFilter filter, ChunkFilter::Make(database_, search, TurnColumns()));
  for (size_t count = 0; count < search.candidates;) {
    QWEN25_TRY(const bool row, match.Step());
    if (!row) return {};
    QWEN25_TRY(std::optional<ChunkFields> fields, filter.Allowed(match.Int(0)));
    if (!fields) continue;
    Candidate& candidate = found[{name_space, match.Int(0)}];
    candidate.fields = std::move(*fields);
    candidate.word_rank = ++count;
    candidate.bm25 = -match.Double(1);  // FTS5 orders from low to high
  }
  return {};
}

Status NoteStore::SearchVectors(const NoteSearch& search, int64_t name_space, std::span<const float> query,
                                Candidates& found) {
  QWEN25_TRY(NamespaceIndex * index, IndexOf(name_space));
  QWEN25_TRY(ChunkFilter filter, ChunkFilter::Make(database_, search, TurnColumns()));
  // Filters act on the graph's results, so more are requested until enough are left.
  for (size_t asked = search.candidates;; asked *= 4) {
    const std::vector<VectorHit> hits = index->vectors->Search(query, asked);
    size_t count = 0;
    for (const VectorHit& hit : hits) {
      QWEN25_TRY(std::optional<ChunkFields> fields, filter.Allowed(hit.id));
      if (!fields) continue;
      Candidate& candidate = found[{name_space, hit.id}];
      candidate.fields = std::move(*fields);
      candidate.vector_rank = ++count;
      candidate.cosine = hit.score;
      if (count == search.candidates) return {};
    }
    if (asked >= index->vectors->size()) return {};
  }
}

Status NoteStore::SearchNamespace(const NoteSearch& search, const std::string& name,
                                  std::span<const float> query_vector, Candidates& found) {
  QWEN25_TRY(const int64_t name_space, NamespaceId(name, /*create=*/false));
  if (name_space == 0) return {};
  if (search.mode != SearchMode::kVectors) {
    QWEN25_RETURN_IF_ERROR(SearchWords(search, name_space, found));
  }
  if (query_vector.empty()) return {};
  return SearchVectors(search, name_space, query_vector, found);
}

// Numbers each list anew over all namespaces, best first; chunk ids break ties.
void NoteStore::RankLists(Candidates& found) {
  const auto number = [&](size_t RankedChunk::*rank, double RankedChunk::*score) {
    std::vector<std::pair<int64_t, RankedChunk*>> list;
    for (auto& [key, chunk] : found) {
      if (chunk.*rank != 0) list.emplace_back(key.second, &chunk);
    }
    std::ranges::sort(list, [&](const auto& a, const auto& b) {
      return a.second->*score != b.second->*score ? a.second->*score > b.second->*score : a.first < b.first;
    });
    for (size_t i = 0; i < list.size(); ++i) list[i].second->*rank = i + 1;
  };
  number(&RankedChunk::word_rank, &RankedChunk::bm25);
  number(&RankedChunk::vector_rank, &RankedChunk::cosine);
}

// Scores by words and vectors, then by neighbours, then by the fields that the query names.
Status NoteStore::ScoreCandidates(const NoteSearch& search, Candidates& found) {
  MatchScale scale;
  double least_cosine = 1;
  size_t num_vectors = 0;
  for (const auto& [key, chunk] : found) {
    scale.best_bm25 = std::max(scale.best_bm25, chunk.bm25);
    if (chunk.vector_rank == 0) continue;
    scale.best_cosine = std::max(scale.best_cosine, chunk.cosine);
    least_cosine = std::min(least_cosine, chunk.cosine);
    ++num_vectors;
  }
  if (search.mode != SearchMode::kWords) {
    QWEN25_TRY(scale.unrelated_cosine, UnrelatedCosine());
  }
  scale.low_cosine = num_vectors >= search.candidates ? least_cosine : scale.unrelated_cosine;
  if (search.mode == SearchMode::kHybrid && embedder_ != nullptr) scale.weight = embedder_->fusion_weight();
  for (auto& [key, chunk] : found) chunk.score = MatchScore(chunk, scale);
  QWEN25_RETURN_IF_ERROR(ShareWithNeighbours(search, found));
  const QueryFields fields(search.query, NowMilliseconds());
  for (auto& [key, chunk] : found) chunk.score *= fields.Factor(chunk.fields);
  return {};
}

Status NoteStore::ShareWithNeighbours(const NoteSearch& search, Candidates& found) {
  std::vector<std::pair<ChunkKey, Candidate>> matches(found.begin(), found.end());  // scores before any share
  const auto better = [](const auto& a, const auto& b) {
    return a.second.score != b.second.score ? a.second.score > b.second.score : a.first < b.first;
  };
  const size_t sharing = std::min(matches.size(), kSharing);
  std::ranges::partial_sort(matches, matches.begin() + static_cast<std::ptrdiff_t>(sharing), better);
  QWEN25_TRY(NeighbourReader reader, NeighbourReader::Make(database_));
  QWEN25_TRY(ChunkFilter filter, ChunkFilter::Make(database_, search, TurnColumns()));
  std::map<int64_t, bool> conversations;  // by namespace
  for (const auto& [key, match] : std::span(matches).first(sharing)) {
    if (match.score <= 0) break;
    if (match.fields.session.empty()) {
      if (!conversations.contains(key.first)) {
        QWEN25_TRY(conversations[key.first], IsConversation(key.first));
      }
      if (!conversations[key.first]) continue;
    }
    const auto share = [&](int64_t id, size_t distance) -> Status {
      auto neighbour = found.find({key.first, id});
      if (neighbour == found.end()) {
        // Without sessions, only what matches itself: else a search for one note would bring three more.
        if (match.fields.session.empty()) return {};
        QWEN25_TRY(std::optional<ChunkFields> fields, filter.Allowed(id));
        if (!fields || NeighbourhoodOf(match.fields, *fields) == Neighbourhood::kNone) return {};
        neighbour = found.emplace(ChunkKey{key.first, id}, Candidate{.fields = std::move(*fields)}).first;
      } else if (NeighbourhoodOf(match.fields, neighbour->second.fields) == Neighbourhood::kNone) {
        return {};
      }
      neighbour->second.score += NeighbourShare(distance) * match.score;
      return {};
    };
    QWEN25_RETURN_IF_ERROR(reader.ForEach(key.first, key.second, share));
  }
  return {};
}

// Looks at rows of notes that are spread evenly over the namespace. The answer is kept until there are twice
// as many chunks, by the span of their numbers, which the index knows without counting.
Result<bool> NoteStore::IsConversation(int64_t name_space) {
  QWEN25_TRY(const int64_t chunks,
             database_.QueryInt(fmt::format("SELECT (SELECT max(id) FROM chunks WHERE namespace = {0}) - "
                                            "(SELECT min(id) FROM chunks WHERE namespace = {0}) + 1",
                                            name_space)));
  Continuity& known = continuity_[name_space];
  if (known.num_chunks > 0 && chunks < 2 * known.num_chunks) return known.is_conversation;
  QWEN25_TRY(const std::vector<NotesInARow> samples, NotesInRows(name_space));
  known = {.num_chunks = chunks, .is_conversation = IsContinuous(samples)};
  return known.is_conversation;
}

Result<std::vector<NotesInARow>> NoteStore::NotesInRows(int64_t name_space) {
  const auto edge = [&](const char* function) {
    return database_.QueryInt(
        fmt::format("SELECT {}(id) FROM chunks WHERE namespace = {}", function, name_space));
  };
  QWEN25_TRY(const int64_t first, edge("min"));
  QWEN25_TRY(const int64_t last, edge("max"));
  QWEN25_TRY(
      Statement select,
      database_.Prepare("SELECT c.text, n.id, n.created_ms FROM chunks c JOIN notes n ON n.id = c.note "
                        "WHERE c.namespace = ? AND c.id >= ? ORDER BY c.id LIMIT 4"));
  std::vector<NotesInARow> samples;
  for (int64_t i = 0; i < kSampledRows; ++i) {
    NotesInARow texts;
    std::array<ChunkFields, 4> fields;
    select.Bind(1, name_space)
        .Bind(2, first + static_cast<int64_t>(static_cast<double>(last - first) * static_cast<double>(i) /
                                              kSampledRows));
    size_t count = 0;
    while (true) {
      QWEN25_TRY(const bool row, select.Step());
      if (!row) break;
      texts[count] = select.Text(0);
      fields[count].note = select.Int(1);
      fields[count].created_ms = select.Int(2);
      ++count;
    }
    bool is_row = count == texts.size();
    for (size_t j = 0; is_row && j + 1 < count; ++j) {
      is_row = NeighbourhoodOf(fields[j], fields[j + 1]) != Neighbourhood::kNone;
    }
    if (is_row) samples.push_back(std::move(texts));
  }
  return samples;
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
  Candidates found;
  for (const std::string& name : search.namespaces) {
    QWEN25_RETURN_IF_ERROR(SearchNamespace(wanted, name, query_vector, found));
  }
  RankLists(found);
  QWEN25_RETURN_IF_ERROR(ScoreCandidates(wanted, found));
  return BestHits(found, search.limit);
}

// The best candidates with their texts.
Result<std::vector<NoteHit>> NoteStore::BestHits(const Candidates& found, size_t limit) {
  std::vector<NoteHit> hits;
  for (const auto& [key, chunk] : found) {
    NoteHit& hit = hits.emplace_back();
    hit.chunk = key.second;
    hit.score = chunk.score;
    hit.word_rank = chunk.word_rank;
    hit.vector_rank = chunk.vector_rank;
    hit.bm25 = chunk.bm25;
    hit.cosine = chunk.cosine;
  }
  std::ranges::sort(hits, [](const NoteHit& a, const NoteHit& b) {
    if (a.score != b.score) return a.score > b.score;
    // Those that are like unrelated texts have no score, but an order.
    return a.cosine != b.cosine ? a.cosine > b.cosine : a.chunk < b.chunk;
  });
  hits.resize(std::min(hits.size(), limit));
  QWEN25_TRY(Statement place, database_.Prepare(SelectChunks(TurnColumns()) + " WHERE c.id = ?"));
  for (NoteHit& hit : hits) {
    QWEN25_TRY(const bool row, place.Bind(1, hit.chunk).Step());
    if (row) ReadChunk(place, hit);  // else another process has just removed it
  }
  std::erase_if(hits, [](const NoteHit& hit) { return hit.note == 0; });
  return hits;
}

Result<std::vector<NoteHit>> NoteStore::Chunks(const std::string& name_space) {
  QWEN25_TRY(Statement chunks,
             database_.Prepare(SelectChunks(TurnColumns()) +
                               " WHERE s.name = ? AND n.superseded_by IS NULL ORDER BY c.id"));
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

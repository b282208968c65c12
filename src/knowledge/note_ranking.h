// How a search orders what it has found by words and by vectors. docs/memory.md explains it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "knowledge/query_dates.h"

namespace qwen25 {

// What ranking goes by, apart from the text.
struct ChunkFields {
  int64_t note = 0;
  int64_t created_ms = 0;
  std::string speaker, session;  // may be empty
};

// A chunk that a search may return. Ranks count from 1; 0: not in that list.
struct RankedChunk {
  ChunkFields fields;
  size_t word_rank = 0, vector_rank = 0;
  double bm25 = 0, cosine = 0;
  double score = 0;
};

// What the scores of one search are shares of.
struct MatchScale {
  double best_bm25 = 0;         // of what words have found; 0: nothing
  double best_cosine = -1;      // of what vectors have found
  double unrelated_cosine = 0;  // UnrelatedCosine
  double weight = 1;            // of vectors, beside 1 for words
  // The cosine that counts for nothing: the least of what vectors have found, or `unrelated_cosine` if that
  // is all there is.
  double low_cosine = 0;
};

// The score by words and vectors, from 0 to 1 + weight:
//
//   bm25 / best_bm25 + weight * (cosine - low_cosine) / (best_cosine - low_cosine)
//
// The cosines of a list differ little, whatever they are; BM25 falls to a half. Put between the ends of their
// list, cosines have as much to say about the order as words. If none is above that of unrelated texts, they
// say nothing.
double MatchScore(const RankedChunk& chunk, const MatchScale& scale);

// The farthest neighbours in a conversation that share a chunk's score.
inline constexpr size_t kNeighbours = 3;
// What a chunk gets of the score of one `distance` away, from 1: a half, a quarter, an eighth. An answer
// stands beside the question's words more often than among them.
double NeighbourShare(size_t distance);

enum class Neighbourhood {
  kNone,
  kLikely,  // written within an hour, with nothing known of their sessions
  kSure,    // of one session
};
// How two chunks of a namespace belong together that were added one soon after the other. Chunks of one note
// are no neighbours: a chunk of a document is long enough to be found by itself.
Neighbourhood NeighbourhoodOf(const ChunkFields& a, const ChunkFields& b);

// What a query says of the fields that it wants.
class QueryFields {
 public:
  // now_milliseconds: since 1970, UTC; what "last week" counts from.
  QueryFields(std::string_view query, int64_t now_milliseconds);

  // The factor of a chunk's score: 2 if it was told at a date that the query names (NamedDate::MayBeToldAt),
  // times 1.3 if the query names its speaker; else 1.
  double Factor(const ChunkFields& fields) const;

 private:
  bool Names(const std::string& speaker) const;

  std::vector<NamedDate> dates_;
  std::unordered_set<std::string> terms_;
};

}  // namespace qwen25

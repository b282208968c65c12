#include "knowledge/note_ranking.h"

#include <algorithm>
#include <cmath>

#include "knowledge/search_terms.h"

namespace qwen25 {
namespace {

// Chosen on half of the dialogues of docs/benchmarks.md, where neighbouring values do about as well.
constexpr double kDateFactor = 2, kSpeakerFactor = 1.3;
constexpr int64_t kLikelyMilliseconds = int64_t{60} * 60 * 1000;

}  // namespace

double MatchScore(const RankedChunk& chunk, const MatchScale& scale) {
  double score = 0;
  if (chunk.word_rank != 0 && scale.best_bm25 > 0) score += chunk.bm25 / scale.best_bm25;
  const double range = scale.best_cosine - scale.low_cosine;
  if (chunk.vector_rank != 0 && scale.best_cosine > scale.unrelated_cosine && range > 0) {
    score += scale.weight * std::clamp((chunk.cosine - scale.low_cosine) / range, 0.0, 1.0);
  }
  return score;
}

double NeighbourShare(size_t distance) {
  return distance == 0 || distance > kNeighbours ? 0 : std::ldexp(1.0, -static_cast<int>(distance));
}

Neighbourhood NeighbourhoodOf(const ChunkFields& a, const ChunkFields& b) {
  if (a.note == b.note) return Neighbourhood::kNone;
  if (a.session != b.session) return Neighbourhood::kNone;
  if (!a.session.empty()) return Neighbourhood::kSure;
  const int64_t earlier = std::min(a.created_ms, b.created_ms), later = std::max(a.created_ms, b.created_ms);
  // Unsigned: the times may be anything.
  const uint64_t between = static_cast<uint64_t>(later) - static_cast<uint64_t>(earlier);
  return between <= uint64_t{kLikelyMilliseconds} ? Neighbourhood::kLikely : Neighbourhood::kNone;
}

QueryFields::QueryFields(std::string_view query, int64_t now_milliseconds)
    : dates_(DatesIn(query, now_milliseconds)) {
  for (std::string& term : TermsOf(query)) {
    if (TermWeight(term) == 1) terms_.insert(std::move(term));
  }
}

bool QueryFields::Names(const std::string& speaker) const {
  if (speaker.empty() || terms_.empty()) return false;
  return std::ranges::any_of(TermsOf(speaker),
                             [&](const std::string& term) { return terms_.contains(term); });
}

double QueryFields::Factor(const ChunkFields& fields) const {
  const bool is_told_then =
      std::ranges::any_of(dates_, [&](const NamedDate& date) { return date.MayBeToldAt(fields.created_ms); });
  return (is_told_then ? kDateFactor : 1) * (Names(fields.speaker) ? kSpeakerFactor : 1);
}

}  // namespace qwen25

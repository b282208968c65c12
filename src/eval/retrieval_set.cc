#include "eval/retrieval_set.h"

#include <algorithm>
#include <unordered_set>

#include "base/json.h"
#include "data/read/text_stream.h"

namespace qwen25 {
namespace {

// Calls visit(object, origin) for each line of a file of JSON objects.
template <typename Visit>
Status ForEachLine(const std::filesystem::path& path, Visit visit) {
  QWEN25_TRY(const std::string content, ReadText(path.string()));
  const std::string name = path.string();
  JsonLines lines(content, name);
  while (true) {
    QWEN25_TRY(const std::optional<Json> json, lines.Next());
    if (!json) return {};
    if (!json->is_object()) return InvalidArgument("{}: expected an object", lines.origin());
    QWEN25_RETURN_IF_ERROR(visit(*json, lines.origin()));
  }
}

Result<RelevantPlace> ParsePlace(const Json& json, const std::string& origin) {
  if (!json.is_object()) return InvalidArgument("{}: \"relevant\" is not a list of objects", origin);
  RelevantPlace place;
  QWEN25_RETURN_IF_ERROR(ReadField(json, "note", origin, place.note));
  if (json.contains("begin") || json.contains("end")) {
    uint64_t begin = 0, end = 0;
    QWEN25_RETURN_IF_ERROR(ReadField(json, "begin", origin, begin));
    QWEN25_RETURN_IF_ERROR(ReadField(json, "end", origin, end));
    if (end <= begin)
      return InvalidArgument("{}: \"relevant\" has bytes {} to {}, expected an end after the beginning",
                             origin, begin, end);
    place.range = TextRange{begin, end};
  }
  return place;
}

}  // namespace

Result<RetrievalSet> RetrievalSet::Load(const std::filesystem::path& folder) {
  RetrievalSet set;
  std::unordered_set<std::string> ids;
  QWEN25_RETURN_IF_ERROR(
      ForEachLine(folder / "notes.jsonl", [&](const Json& json, const std::string& origin) -> Status {
        RetrievalNote note;
        QWEN25_RETURN_IF_ERROR(ReadField(json, "id", origin, note.id));
        QWEN25_RETURN_IF_ERROR(ReadField(json, "text", origin, note.text));
        QWEN25_RETURN_IF_ERROR(ReadField(json, "title", origin, note.title));
        QWEN25_RETURN_IF_ERROR(ReadField(json, "speaker", origin, note.speaker));
        QWEN25_RETURN_IF_ERROR(ReadField(json, "session", origin, note.session));
        QWEN25_RETURN_IF_ERROR(ReadField(json, "namespace", origin, note.name_space));
        QWEN25_RETURN_IF_ERROR(ReadField(json, "supersedes", origin, note.supersedes));
        QWEN25_RETURN_IF_ERROR(ReadField(json, "created_ms", origin, note.created_ms));
        if (note.text.empty()) return InvalidArgument("{}: \"text\" is missing or empty", origin);
        if (note.id.empty() || !ids.insert(note.id).second) {
          return InvalidArgument("{}: \"id\" is missing or occurred before", origin);
        }
        if (!note.supersedes.empty() && !ids.contains(note.supersedes)) {
          return InvalidArgument("{}: \"supersedes\" does not name an earlier note", origin);
        }
        set.notes.push_back(std::move(note));
        return {};
      }));
  QWEN25_RETURN_IF_ERROR(
      ForEachLine(folder / "questions.jsonl", [&](const Json& json, const std::string& origin) -> Status {
        RetrievalQuestion question;
        QWEN25_RETURN_IF_ERROR(ReadField(json, "query", origin, question.query));
        QWEN25_RETURN_IF_ERROR(ReadField(json, "kind", origin, question.kind));
        QWEN25_RETURN_IF_ERROR(ReadField(json, "namespace", origin, question.name_space));
        if (question.query.empty()) return InvalidArgument("{}: \"query\" is missing or empty", origin);
        if (!json.contains("relevant") || !json["relevant"].is_array()) {
          return InvalidArgument("{}: \"relevant\" is missing or is not a list", origin);
        }
        for (const Json& entry : json["relevant"]) {
          QWEN25_TRY(RelevantPlace place, ParsePlace(entry, origin));
          if (!ids.contains(place.note)) {
            return InvalidArgument("{}: \"relevant\" names note \"{}\", which is not in notes.jsonl", origin,
                                   place.note);
          }
          question.relevant.push_back(std::move(place));
        }
        set.questions.push_back(std::move(question));
        return {};
      }));
  if (set.notes.empty() || set.questions.empty()) {
    return InvalidArgument("{}: holds {} notes and {} questions, expected at least one of each",
                           folder.string(), set.notes.size(), set.questions.size());
  }
  return set;
}

std::vector<size_t> RanksOf(const RetrievalQuestion& question, std::span<const NoteHit> hits) {
  std::vector<size_t> ranks;
  for (const RelevantPlace& place : question.relevant) {
    const auto found = std::ranges::find_if(hits, [&](const NoteHit& hit) {
      if (hit.source != place.note) return false;
      if (!place.range) return true;
      const size_t begin = std::max(hit.range.begin, place.range->begin);
      const size_t end = std::min(hit.range.end, place.range->end);
      return end > begin && 2 * (end - begin) >= place.range->end - place.range->begin;
    });
    ranks.push_back(found == hits.end() ? 0 : static_cast<size_t>(found - hits.begin()) + 1);
  }
  return ranks;
}

void RetrievalScore::Add(std::span<const size_t> ranks) {
  if (ranks.empty()) return;
  ++questions_;
  size_t best = 0;
  for (const size_t rank : ranks) {
    if (rank == 0) continue;
    if (best == 0 || rank < best) best = rank;
    for (size_t i = 0; i < kDepths.size(); ++i) {
      if (rank <= kDepths[i]) recall_[i] += 1 / static_cast<double>(ranks.size());
    }
  }
  if (best != 0) reciprocal_ += 1 / static_cast<double>(best);
}

double ChanceAbove(std::vector<double> higher, std::vector<double> lower) {
  if (higher.empty() || lower.empty()) return 0.5;
  std::ranges::sort(lower);
  double sum = 0;
  for (const double value : higher) {
    const auto equal = std::ranges::equal_range(lower, value);
    sum += static_cast<double>(equal.begin() - lower.begin()) + static_cast<double>(equal.size()) / 2;
  }
  return sum / (static_cast<double>(higher.size()) * static_cast<double>(lower.size()));
}

}  // namespace qwen25

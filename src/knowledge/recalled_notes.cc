#include "knowledge/recalled_notes.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <unordered_set>
#include <utility>

#include "knowledge/note_rows.h"
#include "knowledge/search_terms.h"
#include "text/utf8.h"

namespace qwen25 {
namespace {

// Hits examined for each requested note: some of the best are not relevant.
constexpr size_t kLookedAt = 4;
// At most this many more, for the notes to leave out.
constexpr size_t kMaxExcept = 1000;
// Of FindToForget.
constexpr size_t kMaxCandidates = 5;
constexpr double kCertain = 0.5, kLead = 0.2;
// Notes whose relevance differs by no more answer a question equally well.
constexpr double kSameRelevance = 0.1;
// Of DifferInTheirEnd.
constexpr size_t kSameWords = 3;
constexpr size_t kMostWords = 32;

std::string DayOf(int64_t milliseconds) {
  const std::chrono::sys_days day = std::chrono::floor<std::chrono::days>(
      std::chrono::sys_time<std::chrono::milliseconds>(std::chrono::milliseconds(milliseconds)));
  const std::chrono::year_month_day date(day);
  return fmt::format("{:04}-{:02}-{:02}", static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                     static_cast<unsigned>(date.day()));
}

// Raises the relevance of turns beside relevant turns of their session.
void ShareRelevance(std::vector<RecalledNote>& notes) {
  std::vector<double> own;
  for (const RecalledNote& note : notes) own.push_back(note.relevance);
  for (RecalledNote& note : notes) {
    if (note.hit.session.empty()) continue;
    for (size_t i = 0; i < notes.size(); ++i) {
      const NoteHit& other = notes[i].hit;
      if (other.note == note.hit.note || other.session != note.hit.session ||
          other.name_space != note.hit.name_space) {
        continue;
      }
      const auto distance = static_cast<size_t>(std::abs(other.chunk - note.hit.chunk));
      note.relevance = std::max(note.relevance, NeighbourShare(distance) * own[i]);
    }
  }
}

// Whether one of two notes may correct the other. Turns of a conversation do not: they tell what was said.
bool AreOfOneFact(const RecalledNote& a, const RecalledNote& b) {
  return a.hit.note != b.hit.note && a.hit.name_space == b.hit.name_space && a.hit.session.empty() &&
         b.hit.session.empty() && a.hit.speaker == b.hit.speaker &&
         std::abs(a.relevance - b.relevance) <= kSameRelevance && DifferInTheirEnd(a.hit.text, b.hit.text);
}

// Leaves out notes for newer ones, which take the first one's place and the greatest relevance.
void LeaveOutOlder(std::vector<RecalledNote>& notes) {
  const auto age = [](const RecalledNote& note) { return std::pair(note.hit.created_ms, note.hit.note); };
  for (size_t i = 0; i < notes.size(); ++i) {
    for (size_t j = i + 1; j < notes.size();) {
      if (!AreOfOneFact(notes[i], notes[j])) {
        ++j;
        continue;
      }
      if (age(notes[j]) > age(notes[i])) std::swap(notes[i], notes[j]);
      notes[i].relevance = std::max(notes[i].relevance, notes[j].relevance);
      notes[i].older.push_back(notes[j].hit.note);
      notes[i].older.insert(notes[i].older.end(), notes[j].older.begin(), notes[j].older.end());
      notes.erase(notes.begin() + static_cast<ptrdiff_t>(j));
    }
  }
}

Result<std::vector<RecalledNote>> Found(NoteStore& store, const std::string& query,
                                        const std::vector<std::string>& namespaces, size_t limit) {
  NoteSearch search;
  search.query = query;
  search.namespaces = namespaces;
  search.limit = limit;
  QWEN25_TRY(std::vector<NoteHit> hits, store.Search(search));
  QWEN25_TRY(const double unrelated, store.UnrelatedCosine());
  std::vector<RecalledNote> notes;
  for (NoteHit& hit : hits) {
    const double relevance = RelevanceOf(query, hit, unrelated);
    notes.push_back({std::move(hit), relevance});
  }
  return notes;
}

}  // namespace

bool DifferInTheirEnd(std::string_view a, std::string_view b) {
  const std::vector<std::string> words = TermsOf(a), others = TermsOf(b);
  const auto end = std::ranges::mismatch(words, others).in1;
  const auto same = static_cast<size_t>(end - words.begin());
  const size_t longest = std::max(words.size(), others.size());
  const bool says_something =
      std::any_of(words.begin(), end, [](const std::string& word) { return TermWeight(word) >= 1; });
  return same >= kSameWords && 3 * same >= 2 * longest && same < longest && longest <= kMostWords &&
         says_something;
}

double RelevanceOf(std::string_view query, const NoteHit& hit, double unrelated_cosine) {
  const std::vector<std::string> terms = TermsOf(SaidText(hit.speaker, hit.text));
  const std::unordered_set<std::string_view> found(terms.begin(), terms.end());
  double all = 0, covered = 0;
  for (const SearchTerm& term : QueryTermsOf(query)) {
    const double weight = TermWeight(term.text);
    all += weight;
    const bool there =
        term.prefix
            ? std::ranges::any_of(terms, [&](const std::string& word) { return word.starts_with(term.text); })
            : found.contains(term.text);
    if (there) covered += weight;
  }
  // At least 1: a query of common words alone covers little.
  const double coverage = covered / std::max(all, 1.0);
  if (hit.vector_rank == 0 || unrelated_cosine >= 1) return coverage;
  return (coverage + std::clamp((hit.cosine - unrelated_cosine) / (1 - unrelated_cosine), 0.0, 1.0)) / 2;
}

Result<std::vector<RecalledNote>> RecallNotes(NoteStore& store, const std::string& question,
                                              const RecallOptions& options) {
  std::vector<RecalledNote> recalled;
  if (options.limit == 0) return recalled;
  const size_t looked_at = kLookedAt * options.limit + std::min(options.except.size(), kMaxExcept);
  QWEN25_TRY(std::vector<RecalledNote> found, Found(store, question, options.namespaces, looked_at));
  ShareRelevance(found);
  if (options.newest_only) LeaveOutOlder(found);
  size_t tokens = 0;
  for (RecalledNote& note : found) {
    if (recalled.size() == options.limit) break;
    if (note.relevance < options.floor || options.except.contains(note.hit.note)) continue;
    const size_t more = EstimateTokens(note.hit.text);
    if (tokens + more > options.max_tokens) continue;
    tokens += more;
    recalled.push_back(std::move(note));
  }
  return recalled;
}

std::string NoteLine(const NoteHit& hit, std::span<const std::string> control_texts) {
  std::string text = SaidText(hit.speaker, hit.text);
  for (const std::string& control : control_texts) {
    const size_t first =
        control.empty() ? 0 : DecodeCodePoint(control.data(), control.data() + control.size()).bytes;
    if (first == 0 || first == control.size()) continue;
    for (size_t at = 0; (at = text.find(control, at)) != std::string::npos; at += first + 1) {
      text.insert(at + first, 1, ' ');
    }
  }
  const size_t begin = text.find_first_not_of(" \t\r\n"), end = text.find_last_not_of(" \t\r\n");
  text = begin == std::string::npos ? "" : text.substr(begin, end + 1 - begin);
  return fmt::format("- (note {}, {}) {}\n", hit.note, DayOf(hit.created_ms), text);
}

std::string QuestionWithNotes(std::string_view question, std::span<const std::string> note_lines) {
  if (note_lines.empty()) return std::string(question);
  return fmt::format("Notes from memory that may help:\n{}\n{}", fmt::join(note_lines, ""), question);
}

Result<ForgetChoice> FindToForget(NoteStore& store, const std::string& words,
                                  const std::vector<std::string>& namespaces) {
  QWEN25_TRY(std::vector<RecalledNote> found, Found(store, words, namespaces, kLookedAt * kMaxCandidates));
  std::ranges::stable_sort(found, std::greater(), &RecalledNote::relevance);
  ForgetChoice choice;
  std::set<int64_t> seen;
  for (RecalledNote& note : found) {
    if (note.relevance < kRelevanceFloor || choice.candidates.size() == kMaxCandidates) break;
    if (seen.insert(note.hit.note).second) choice.candidates.push_back(std::move(note));
  }
  if (choice.candidates.empty()) return choice;
  const RecalledNote& best = choice.candidates[0];
  QWEN25_TRY(const Note note, store.Get(best.hit.note));
  choice.certain =
      note.num_chunks == 1 && best.relevance >= kCertain &&
      (choice.candidates.size() == 1 || best.relevance - choice.candidates[1].relevance >= kLead);
  return choice;
}

}  // namespace qwen25

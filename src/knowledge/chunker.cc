#include "knowledge/chunker.h"

#include <unicode/brkiter.h>
#include <unicode/utext.h>

#include <algorithm>
#include <memory>

#include "text/utf8.h"

namespace qwen25 {
namespace {

// Tokens in quarters, so that sums over parts are exact.
size_t QuarterTokens(std::string_view text) {
  size_t quarters = 0;
  const char* end = text.data() + text.size();
  for (const char* p = text.data(); p < end;) {
    const DecodedCodePoint c = DecodeCodePoint(p, end);
    p += c.bytes;
    quarters += c.bytes >= 3 ? 3 : c.bytes;  // ASCII 1/4, two bytes 2/4, Han and Thai 3/4 of a token
  }
  return quarters;
}

struct Sentence {
  TextRange range;
  size_t quarters = 0;
  bool ends_paragraph = false;
};

// Appends a sentence in pieces of at most max_quarters, cut after white space, or between characters if there
// is none.
void AddPieces(std::string_view text, TextRange range, size_t max_quarters, std::vector<Sentence>& out) {
  size_t begin = range.begin, quarters = 0, last_space = 0;
  for (size_t i = range.begin; i < range.end;) {
    const DecodedCodePoint c = DecodeCodePoint(text.data() + i, text.data() + range.end);
    const size_t cost = c.bytes >= 3 ? 3 : c.bytes;
    if (quarters + cost > max_quarters && i > begin) {
      const size_t cut = last_space > begin ? last_space : i;
      out.push_back({{begin, cut}, QuarterTokens(text.substr(begin, cut - begin)), false});
      begin = cut;
      quarters = QuarterTokens(text.substr(begin, i - begin));
    }
    quarters += cost;
    i += c.bytes;
    if (c.code_point == ' ' || c.code_point == '\n' || c.code_point == '\t') last_space = i;
  }
  if (begin < range.end) out.push_back({{begin, range.end}, quarters, false});
}

bool EndsParagraph(std::string_view sentence) {
  const size_t last = sentence.find_last_not_of(" \t\r\n");
  const std::string_view tail = last == std::string_view::npos ? sentence : sentence.substr(last + 1);
  return std::ranges::count(tail, '\n') >= 2;
}

// The ends of all sentences, ascending. If ICU fails, only blank lines end sentences.
std::vector<size_t> SentenceEnds(std::string_view text) {
  std::vector<size_t> ends;
  UErrorCode error = U_ZERO_ERROR;
  const std::unique_ptr<icu::BreakIterator> sentences(
      icu::BreakIterator::createSentenceInstance(icu::Locale::getRoot(), error));
  UText* utext = U_SUCCESS(error)
                     ? utext_openUTF8(nullptr, text.data(), static_cast<int64_t>(text.size()), &error)
                     : nullptr;
  if (U_SUCCESS(error)) {
    sentences->setText(utext, error);
    if (U_SUCCESS(error)) {
      sentences->first();
      for (int32_t end = sentences->next(); end != icu::BreakIterator::DONE; end = sentences->next()) {
        ends.push_back(static_cast<size_t>(end));
      }
    }
  }
  utext_close(utext);
  for (size_t i = text.find("\n\n"); i != std::string_view::npos; i = text.find("\n\n", i)) {
    while (i < text.size() && text[i] == '\n') ++i;
    ends.push_back(i);
  }
  ends.push_back(text.size());
  // White space belongs to the sentence before it.
  for (size_t& end : ends) end = std::min(text.find_first_not_of(" \t\r\n", end), text.size());
  std::ranges::sort(ends);
  const auto repeated = std::ranges::unique(ends);
  ends.erase(repeated.begin(), repeated.end());
  return ends;
}

// Sentences of at most max_quarters.
std::vector<Sentence> ShortSentencesOf(std::string_view text, size_t max_quarters) {
  std::vector<Sentence> sentences;
  for (const TextRange& range : SentencesOf(text)) {
    AddPieces(text, range, max_quarters, sentences);
    sentences.back().ends_paragraph = EndsParagraph(text.substr(range.begin, range.end - range.begin));
  }
  return sentences;
}

}  // namespace

size_t EstimateTokens(std::string_view text) {
  return (QuarterTokens(text) + 3) / 4;
}

std::vector<TextRange> SentencesOf(std::string_view text) {
  std::vector<TextRange> sentences;
  size_t begin = 0;
  for (const size_t end : SentenceEnds(text)) {
    if (end <= begin) continue;
    sentences.push_back({begin, end});
    begin = end;
  }
  return sentences;
}

std::vector<TextRange> ChunkText(std::string_view text, const ChunkOptions& options) {
  std::vector<TextRange> chunks;
  if (text.empty()) return chunks;
  const size_t room = std::max<size_t>(options.max_tokens, 4) * 4;
  const size_t overlap = std::min(options.overlap_tokens * 4, room / 2);
  if (QuarterTokens(text) <= room) return {{0, text.size()}};
  // Every sentence must fit after an overlap, or a piece might hold nothing new.
  const std::vector<Sentence> sentences = ShortSentencesOf(text, room - overlap);
  for (size_t first = 0, fresh = 0; fresh < sentences.size();) {
    size_t end = first, quarters = 0, paragraph_end = 0;
    while (end < sentences.size() && quarters + sentences[end].quarters <= room) {
      quarters += sentences[end++].quarters;
      if (sentences[end - 1].ends_paragraph && quarters * 2 >= room && end > fresh) paragraph_end = end;
    }
    if (paragraph_end != 0 && end < sentences.size()) end = paragraph_end;
    chunks.push_back({sentences[first].range.begin, sentences[end - 1].range.end});
    fresh = end;
    first = end;
    // After a paragraph's end the next piece starts afresh; elsewhere it repeats the last sentences of this
    // one.
    if (end < sentences.size() && !sentences[end - 1].ends_paragraph) {
      for (size_t repeated = sentences[first - 1].quarters; first > 1 && repeated <= overlap;
           repeated += sentences[first - 1].quarters) {
        --first;
      }
    }
  }
  return chunks;
}

}  // namespace qwen25

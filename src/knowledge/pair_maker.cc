#include "knowledge/pair_maker.h"

#include <span>

#include "base/hash.h"
#include "base/rng.h"
#include "knowledge/chunker.h"

namespace qwen25 {
namespace {

// A shorter passage does not answer anything.
constexpr size_t kMinPassageTokens = 12;

std::string_view Trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r\n") + 1 - begin);
}

}  // namespace

std::vector<TextPair> MakePairs(std::string_view text, const PairMakerOptions& options) {
  Rng rng(options.seed, Hash64(std::as_bytes(std::span(text))));
  std::vector<TextPair> pairs;
  for (const TextRange& range :
       ChunkText(text, {.max_tokens = options.passage_tokens, .overlap_tokens = 0})) {
    const std::string_view chunk = text.substr(range.begin, range.end - range.begin);
    std::vector<TextRange> fit;
    for (const TextRange& sentence : SentencesOf(chunk)) {
      const size_t tokens = EstimateTokens(chunk.substr(sentence.begin, sentence.end - sentence.begin));
      if (tokens >= options.min_query_tokens && tokens <= options.max_query_tokens) fit.push_back(sentence);
    }
    if (fit.empty()) continue;
    const TextRange chosen = fit[rng.Below(fit.size())];
    const bool keep = rng.Uniform() < options.keep_share;
    std::string rest(chunk);
    rest.erase(chosen.begin, chosen.end - chosen.begin);
    if (EstimateTokens(Trimmed(rest)) < kMinPassageTokens) continue;
    pairs.push_back({std::string(Trimmed(chunk.substr(chosen.begin, chosen.end - chosen.begin))),
                     std::string(Trimmed(keep ? chunk : std::string_view(rest)))});
  }
  return pairs;
}

}  // namespace qwen25

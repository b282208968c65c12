#include "knowledge/hashed_embedder.h"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/hash.h"
#include "base/rng.h"
#include "knowledge/search_terms.h"
#include "text/utf8.h"

namespace qwen25 {
namespace {

constexpr size_t kCoordinates = 8;     // of one feature's projection
constexpr float kGroupWeight = 0.35f;  // of letter groups: see AddTerm

uint64_t HashText(std::string_view text, uint64_t seed) {
  return Hash64(std::as_bytes(std::span(text)), seed);
}

void AddFeature(uint64_t hash, float weight, std::span<float> out) {
  Rng rng(hash);
  for (size_t i = 0; i < kCoordinates; ++i) {
    const uint64_t bits = rng.Next();
    out[(bits >> 1) % out.size()] += (bits & 1) != 0 ? weight : -weight;
  }
}

void AddTerm(const std::string& term, float weight, std::span<float> out) {
  AddFeature(HashText(term, 1), weight, out);
  if (term.size() < 4) return;  // its groups would repeat the term
  const std::string framed = "<" + term + ">";
  std::vector<size_t> starts;
  for (size_t i = 0; i < framed.size();) {
    starts.push_back(i);
    i += DecodeCodePoint(framed.data() + i, framed.data() + framed.size()).bytes;
  }
  starts.push_back(framed.size());
  const size_t num_letters = starts.size() - 1;
  // A term's groups together have 3 * kGroupWeight times the norm of the term itself, however many they are.
  size_t num_groups = 0;
  for (size_t n = 3; n <= 5 && n <= num_letters; ++n) num_groups += num_letters - n + 1;
  const float each =
      weight * kGroupWeight * 3 / std::sqrt(static_cast<float>(std::max<size_t>(1, num_groups)));
  for (size_t n = 3; n <= 5; ++n) {
    for (size_t i = 0; i + n <= num_letters; ++i) {
      AddFeature(HashText(std::string_view(framed).substr(starts[i], starts[i + n] - starts[i]), 2), each,
                 out);
    }
  }
}

}  // namespace

HashedEmbedder::HashedEmbedder(const HashedEmbedderOptions& options)
    : id_{"hashed", options.dimension, "ngrams-1 " + SearchTermsVersion()} {}

Status HashedEmbedder::Embed(EmbedKind, std::span<const std::string> texts, std::span<float> out) {
  QWEN25_CHECK(out.size() == texts.size() * id_.dimension);
  std::ranges::fill(out, 0.0f);
  for (size_t i = 0; i < texts.size(); ++i) {
    const std::span<float> vector = out.subspan(i * id_.dimension, id_.dimension);
    std::unordered_map<std::string, uint32_t> counts;
    std::vector<std::string> order;  // of first appearance: sums have a fixed order
    for (std::string& term : TermsOf(texts[i])) {
      if (++counts[term] == 1) order.push_back(std::move(term));
    }
    for (const std::string& term : order) {
      AddTerm(term, TermWeight(term) * (1 + std::log(static_cast<float>(counts[term]))), vector);
    }
    NormalizeVector(vector);
  }
  return {};
}

}  // namespace qwen25

#include "knowledge/embedder.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace qwen25 {
namespace {

// Texts of different subjects, lengths and scripts, without a word in common.
const std::vector<std::string> kUnrelated = {
    "My sister plays the cello.",
    "Heat milk slowly until small bubbles rise, then whisk in sugar, flour and three egg yolks.",
    "Quarterly tax forms are due on Friday.",
    "Whales sleep upright near deep trenches, breathing once every twenty minutes or less.",
    "Der Schlüssel liegt unter dem Blumentopf.",
    "Compiler errors about missing templates usually name two files.",
    "会议在星期三下午三点举行。",
    "Volcanoes shaped these islands long before anyone built harbours, roads or lighthouses here.",
};

}  // namespace

std::string EmbedderId::ToString() const {
  return fmt::format("{} ({} dimensions, {})", name, dimension, fingerprint);
}

void NormalizeVector(std::span<float> vector) {
  double sum = 0;
  for (const float value : vector) sum += double{value} * value;
  if (sum == 0) return;
  const auto scale = static_cast<float>(1 / std::sqrt(sum));
  for (float& value : vector) value *= scale;
}

float DotProduct(std::span<const float> a, std::span<const float> b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += double{a[i]} * b[i];
  return static_cast<float>(sum);
}

Result<double> UnrelatedCosine(Embedder& embedder) {
  const size_t dimension = embedder.id().dimension;
  std::vector<float> queries(kUnrelated.size() * dimension), passages(queries.size());
  QWEN25_RETURN_IF_ERROR(embedder.Embed(EmbedKind::kQuery, kUnrelated, queries));
  QWEN25_RETURN_IF_ERROR(embedder.Embed(EmbedKind::kPassage, kUnrelated, passages));
  float highest = 0;
  for (size_t i = 0; i < kUnrelated.size(); ++i) {
    for (size_t j = 0; j < kUnrelated.size(); ++j) {
      if (i == j) continue;
      highest = std::max(highest, DotProduct(std::span(queries).subspan(i * dimension, dimension),
                                             std::span(passages).subspan(j * dimension, dimension)));
    }
  }
  return highest;
}

}  // namespace qwen25

// Sources of embeddings. All give vectors of length one, so that the dot product of two is their cosine.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "base/status.h"

namespace qwen25 {

// Identifies the embedder of a vector. Vectors of different embedders are never compared.
struct EmbedderId {
  std::string name;  // "hashed", "model", "command"
  uint32_t dimension = 0;
  std::string fingerprint;  // changes with everything that changes the vectors

  std::string ToString() const;
  friend bool operator==(const EmbedderId&, const EmbedderId&) = default;
};

enum class EmbedKind {
  kPassage,  // a text to be found
  kQuery,    // a text to search with
};

// One source of embeddings. Used by one thread at a time.
class Embedder {
 public:
  virtual ~Embedder() = default;

  virtual const EmbedderId& id() const = 0;
  // Whether a store recomputes its vectors when it is opened and this embedder's rules have changed since.
  // True only if that takes moments and no model.
  virtual bool is_renewed_by_itself() const { return false; }
  // What its vectors weigh in a hybrid search, where words weigh 1 (note_ranking.h). Of 0.35, 0.5, 0.7 and 1
  // a half was the best compromise of questions that share words with their answers and ones that do not, in
  // books and in dialogues (docs/benchmarks.md).
  virtual double fusion_weight() const { return 0.5; }
  // Writes to out [texts.size() * dimension] one vector of length one per text. A text in which the embedder
  // finds nothing (empty; for words, punctuation alone) gives zeros.
  virtual Status Embed(EmbedKind kind, std::span<const std::string> texts, std::span<float> out) = 0;
};

// The highest cosine (at least 0) that this embedder gives to fixed pairs of unrelated texts. Only a higher
// one says that two texts are related. It is near 0 if vectors are spread well, and 0.7 or more for many
// models. Errors of Embed.
Result<double> UnrelatedCosine(Embedder& embedder);

// Scales `vector` to length one; zeros stay zeros.
void NormalizeVector(std::span<float> vector);
// `a` and `b` have the same size.
float DotProduct(std::span<const float> a, std::span<const float> b);

}  // namespace qwen25

// Where embeddings come from. Every source gives vectors of length one, so that their dot product is the
// cosine.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "base/status.h"

namespace qwen25 {

// What made a vector. Vectors of different embedders are never compared.
struct EmbedderId {
  std::string name;  // "hashed", "model", "command"
  uint32_t dimension = 0;
  std::string fingerprint;  // changes with everything that changes the vectors

  std::string ToString() const;
  friend bool operator==(const EmbedderId&, const EmbedderId&) = default;
};

enum class EmbedKind {
  kPassage,  // what is found
  kQuery,    // what is asked
};

// One source of embeddings. Used by one thread at a time.
class Embedder {
 public:
  virtual ~Embedder() = default;

  virtual const EmbedderId& id() const = 0;
  // Whether a store makes its vectors again without being told to when this embedder's rules have changed:
  // for those that need no model, and no more than moments.
  virtual bool is_renewed_by_itself() const { return false; }
  // What a rank among its vectors counts in a hybrid search, where a rank among words counts 1.
  virtual double fusion_weight() const { return 1; }
  // Fills out [texts.size() * dimension] with one vector of length one per text; a text with nothing in it
  // (empty, punctuation alone) gives zeros.
  virtual Status Embed(EmbedKind kind, std::span<const std::string> texts, std::span<float> out) = 0;
};

// The highest cosine between questions and passages of fixed texts that have nothing to do with each other:
// what a cosine of this embedder has to exceed before it says anything. Near 0 where directions are spread
// well, 0.7 and more for many models.
Result<double> UnrelatedCosine(Embedder& embedder);

// Scales `vector` to length one; zeros stay zeros.
void NormalizeVector(std::span<float> vector);
// Both of one size.
float DotProduct(std::span<const float> a, std::span<const float> b);

}  // namespace qwen25

// Nearest vectors by cosine: an HNSW graph (hnswlib; arXiv:1603.09320).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <unordered_set>
#include <vector>

#include "base/status.h"
#include "store/cipher.h"

namespace qwen25 {

struct VectorHit {
  int64_t id = 0;
  float score = 0;  // cosine
};

// Vectors of length one under ids. Used by one thread at a time. The same operations in the same order give
// the same graph.
class VectorIndex {
 public:
  explicit VectorIndex(uint32_t dimension);
  ~VectorIndex();
  VectorIndex(VectorIndex&&) noexcept;
  VectorIndex& operator=(VectorIndex&&) noexcept;

  // kResourceExhausted when there is no memory. The id must be new.
  Status Add(int64_t id, std::span<const float> vector);
  // An unknown id is not an error.
  void Remove(int64_t id);
  bool Contains(int64_t id) const { return ids_.contains(id); }
  size_t size() const { return ids_.size(); }
  const std::unordered_set<int64_t>& ids() const { return ids_; }
  // Removed vectors that the graph still walks through.
  size_t num_removed() const { return num_removed_; }
  uint32_t dimension() const { return dimension_; }

  // The `count` nearest, best first; equal scores by id. Fewer where there are fewer.
  std::vector<VectorHit> Search(std::span<const float> query, size_t count) const;

  // A cache of the graph, replaced atomically; returns the hash of its content, which Load is to be given
  // from a trustworthy place: hnswlib follows whatever links a file holds. kCorrupt: the file is not it. With
  // a cipher (null: none) the file is sealed as a whole.
  Result<uint64_t> Save(const std::string& path, const Cipher* cipher = nullptr) const;
  static Result<VectorIndex> Load(const std::string& path, uint32_t dimension, uint64_t hash,
                                  const Cipher* cipher = nullptr);

 private:
  struct Graph;
  Status WriteGraph(const std::string& path) const;
  Result<uint64_t> SaveSealed(const std::string& path, const Cipher& cipher) const;

  std::unique_ptr<Graph> graph_;
  uint32_t dimension_;
  std::unordered_set<int64_t> ids_;
  size_t num_removed_ = 0;
};

}  // namespace qwen25

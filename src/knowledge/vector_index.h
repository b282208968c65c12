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

// Vectors of length one, by id. Used by one thread at a time. The same operations in the same order give the
// same graph.
class VectorIndex {
 public:
  explicit VectorIndex(uint32_t dimension);
  ~VectorIndex();
  VectorIndex(VectorIndex&&) noexcept;
  VectorIndex& operator=(VectorIndex&&) noexcept;

  // `vector` [dimension]; the id must be new. kResourceExhausted if memory runs out.
  Status Add(int64_t id, std::span<const float> vector);
  // An unknown id is not an error.
  void Remove(int64_t id);
  bool Contains(int64_t id) const { return ids_.contains(id); }
  size_t size() const { return ids_.size(); }
  const std::unordered_set<int64_t>& ids() const { return ids_; }
  // Removed vectors that are still nodes of the graph.
  size_t num_removed() const { return num_removed_; }
  uint32_t dimension() const { return dimension_; }

  // The `count` nearest that the graph finds, best first, equal scores by id; fewer if the index holds fewer.
  std::vector<VectorHit> Search(std::span<const float> query, size_t count) const;

  // Save writes a cache of the graph atomically, and returns a hash of the file. Keep the hash in a trusted
  // place for Load, since hnswlib follows whatever links a file holds; Load gives kCorrupt for any other
  // file. With a cipher (null: none) the file is encrypted as a whole.
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

// Activations: float32 matrices whose memory comes from a pool and returns to it with the last handle.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <utility>
#include <vector>

#include "base/check.h"
#include "tensor/view.h"

namespace qwen25 {

class TensorPool;

// What the handles of one tensor share.
struct TensorNode {
  TensorPool* pool = nullptr;
  float* data = nullptr;  // [rows, cols]
  float* grad = nullptr;  // [rows, cols], absent until somebody adds to it
  size_t rows = 0;
  size_t cols = 0;
  uint32_t num_handles = 0;
};

// A shared handle of one [rows, cols] float32 matrix, row-major, 64-byte aligned. Copies refer to the same
// matrix. Handles are used by one thread at a time; kernels get views.
class Tensor {
 public:
  Tensor() = default;
  explicit Tensor(TensorNode* node) : node_(node) { ++node_->num_handles; }
  Tensor(const Tensor& other) : node_(other.node_) {
    if (node_ != nullptr) ++node_->num_handles;
  }
  Tensor(Tensor&& other) noexcept : node_(std::exchange(other.node_, nullptr)) {}
  Tensor& operator=(Tensor other) noexcept {
    std::swap(node_, other.node_);
    return *this;
  }
  ~Tensor() { Reset(); }

  // Lets go of the matrix.
  inline void Reset();
  explicit operator bool() const { return node_ != nullptr; }

  size_t rows() const { return node_->rows; }
  size_t cols() const { return node_->cols; }
  float* data() const { return node_->data; }
  MatrixView<float> view() const { return {node_->data, node_->rows, node_->cols}; }

  // The gradient of the loss with respect to this matrix. Null until the first op of the backward pass that
  // uses the matrix has added its part.
  float* grad() const { return node_->grad; }
  MatrixView<float> grad_view() const { return {node_->grad, node_->rows, node_->cols}; }
  // Makes sure there is memory for the gradient. True: it is new and uninitialised, so the caller overwrites
  // it; false: it holds the sum of what other ops added, so the caller adds.
  inline bool MakeGrad() const;
  // Frees the gradient: no op will read it any more.
  inline void FreeGrad() const;
  // Takes over `from`'s gradient, which is then gone there. This tensor must not have one; same shape.
  inline void TakeGrad(const Tensor& from) const;

 private:
  TensorNode* node_ = nullptr;
};

// Hands out matrices and takes them back. Memory is kept by size class and reused, so a step that asks for
// the same shapes as the one before allocates nothing. Not thread-safe.
class TensorPool {
 public:
  TensorPool() = default;
  ~TensorPool();
  TensorPool(const TensorPool&) = delete;
  TensorPool& operator=(const TensorPool&) = delete;

  // An uninitialised [rows, cols] matrix.
  Tensor New(size_t rows, size_t cols);

  // Bytes that were ever taken from the system, in use or waiting for reuse.
  size_t reserved_bytes() const { return reserved_bytes_; }
  // Bytes in tensors alive now, and the most there ever were.
  size_t used_bytes() const { return used_bytes_; }
  size_t peak_bytes() const { return peak_bytes_; }

 private:
  friend class Tensor;

  struct SizeClass {
    size_t num_floats;
    std::vector<float*> free;
    size_t num_total;  // buffers that exist, free or not: `free` never needs to grow beyond it
  };

  float* Take(size_t num_floats);
  void Give(float* data, size_t num_floats);
  void Release(TensorNode* node);
  SizeClass& ClassOf(size_t num_floats);

  std::vector<SizeClass> classes_;  // ascending by num_floats
  std::deque<TensorNode> nodes_;
  std::vector<TensorNode*> free_nodes_;
  size_t reserved_bytes_ = 0;
  size_t used_bytes_ = 0;
  size_t peak_bytes_ = 0;
};

void Tensor::Reset() {
  if (node_ != nullptr && --node_->num_handles == 0) node_->pool->Release(node_);
  node_ = nullptr;
}

bool Tensor::MakeGrad() const {
  if (node_->grad != nullptr) return false;
  node_->grad = node_->pool->Take(node_->rows * node_->cols);
  return true;
}

void Tensor::FreeGrad() const {
  if (node_->grad == nullptr) return;
  node_->pool->Give(std::exchange(node_->grad, nullptr), node_->rows * node_->cols);
}

void Tensor::TakeGrad(const Tensor& from) const {
  QWEN25_CHECK(node_->grad == nullptr && node_->rows == from.rows() && node_->cols == from.cols());
  node_->grad = std::exchange(from.node_->grad, nullptr);
}

}  // namespace qwen25

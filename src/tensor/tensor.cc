#include "tensor/tensor.h"

#include <algorithm>
#include <bit>

#include "tensor/aligned_buffer.h"

namespace qwen25 {
namespace {

// Sizes are rounded up to eight steps per power of two: at most 12.5 % is wasted, and ragged batches of a
// server (any number of rows) meet in a few classes instead of leaving one buffer per row count behind.
size_t RoundToClass(size_t num_floats) {
  constexpr size_t kSmallest = 256;
  if (num_floats <= kSmallest) return kSmallest;
  const size_t step = std::bit_floor(num_floats) / 8;
  return (num_floats + step - 1) / step * step;
}

}  // namespace

TensorPool::~TensorPool() {
  for (const SizeClass& size_class : classes_) {
    QWEN25_CHECK(size_class.free.size() == size_class.num_total);  // a tensor outlived its pool
    for (float* data : size_class.free) FreeAligned(data);
  }
}

Tensor TensorPool::New(size_t rows, size_t cols) {
  if (free_nodes_.empty()) {
    nodes_.emplace_back();
    free_nodes_.reserve(nodes_.size());
    free_nodes_.push_back(&nodes_.back());
  }
  TensorNode* node = free_nodes_.back();
  free_nodes_.pop_back();
  *node = {.pool = this, .data = Take(rows * cols), .rows = rows, .cols = cols};
  return Tensor(node);
}

void TensorPool::Release(TensorNode* node) {
  const size_t num_floats = node->rows * node->cols;
  Give(node->data, num_floats);
  if (node->grad != nullptr) Give(node->grad, num_floats);
  free_nodes_.push_back(node);
}

TensorPool::SizeClass& TensorPool::ClassOf(size_t num_floats) {
  const size_t size = RoundToClass(num_floats);
  auto found = std::lower_bound(classes_.begin(), classes_.end(), size,
                                [](const SizeClass& a, size_t b) { return a.num_floats < b; });
  if (found == classes_.end() || found->num_floats != size) found = classes_.insert(found, {size, {}, 0});
  return *found;
}

float* TensorPool::Take(size_t num_floats) {
  SizeClass& size_class = ClassOf(num_floats);
  const size_t num_bytes = size_class.num_floats * sizeof(float);
  used_bytes_ += num_bytes;
  peak_bytes_ = std::max(peak_bytes_, used_bytes_);
  if (size_class.free.empty()) {
    reserved_bytes_ += num_bytes;
    size_class.free.reserve(++size_class.num_total);
    return static_cast<float*>(AllocateAligned(num_bytes));
  }
  float* data = size_class.free.back();
  size_class.free.pop_back();
  return data;
}

void TensorPool::Give(float* data, size_t num_floats) {
  SizeClass& size_class = ClassOf(num_floats);
  used_bytes_ -= size_class.num_floats * sizeof(float);
  size_class.free.push_back(data);
}

}  // namespace qwen25

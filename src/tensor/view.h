// Non-owning views of row-major matrices.
#pragma once

#include <cstddef>
#include <span>

#include "base/check.h"

namespace qwen25 {

// A [rows, cols] matrix whose rows start `stride` elements apart (stride >= cols).
template <typename T>
struct MatrixView {
  T* data = nullptr;
  size_t rows = 0;
  size_t cols = 0;
  size_t stride = 0;

  MatrixView() = default;
  MatrixView(T* data, size_t rows, size_t cols) : data(data), rows(rows), cols(cols), stride(cols) {}
  MatrixView(T* data, size_t rows, size_t cols, size_t stride)
      : data(data), rows(rows), cols(cols), stride(stride) {
    QWEN25_CHECK(stride >= cols);
  }
  // A view of T converts to a view of const T.
  operator MatrixView<const T>() const { return {data, rows, cols, stride}; }

  T* Row(size_t row) const { return data + row * stride; }
  std::span<T> RowSpan(size_t row) const { return {Row(row), cols}; }
  MatrixView Rows(size_t begin, size_t end) const {
    QWEN25_CHECK(begin <= end && end <= rows);
    return {data + begin * stride, end - begin, cols, stride};
  }
  MatrixView Cols(size_t begin, size_t end) const {
    QWEN25_CHECK(begin <= end && end <= cols);
    return {data + begin, rows, end - begin, stride};
  }
};

}  // namespace qwen25

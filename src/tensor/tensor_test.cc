#include "tensor/tensor.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <new>

#include "tensor/aligned_buffer.h"

namespace qwen25 {
namespace {

TEST(AlignedBufferTest, TooMuchMemoryIsThrownLikeEveryOtherAllocation) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "SKIPPED: sanitizers end the program instead";
#endif
  EXPECT_THROW(AllocateAligned(SIZE_MAX), std::bad_alloc);
  EXPECT_THROW(AllocateAligned(size_t{1} << 60), std::bad_alloc);
}

TEST(TensorPoolTest, MemoryReturnsWithTheLastHandleAndIsReused) {
  TensorPool pool;
  float* first_data;
  {
    Tensor a = pool.New(3, 100);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(a.data()) % 64, 0u);
    first_data = a.data();
    Tensor b = a;
    a.Reset();
    EXPECT_EQ(b.data(), first_data);
    EXPECT_GT(pool.used_bytes(), 0u);
  }
  EXPECT_EQ(pool.used_bytes(), 0u);
  const size_t reserved = pool.reserved_bytes();
  EXPECT_EQ(pool.New(100, 3).data(), first_data);
  EXPECT_EQ(pool.reserved_bytes(), reserved);
}

TEST(TensorPoolTest, TheFirstWriterOfAGradientOverwritesAndLaterOnesAdd) {
  TensorPool pool;
  Tensor a = pool.New(2, 2), b = pool.New(2, 2);
  EXPECT_EQ(a.grad(), nullptr);
  EXPECT_TRUE(a.MakeGrad());
  EXPECT_FALSE(a.MakeGrad());
  float* grad = a.grad();
  b.TakeGrad(a);
  EXPECT_EQ(b.grad(), grad);
  EXPECT_EQ(a.grad(), nullptr);
  b.FreeGrad();
  EXPECT_EQ(b.grad(), nullptr);
}

TEST(TensorPoolTest, RaggedSizesShareFewBuffers) {
  TensorPool pool;
  for (size_t rows = 1; rows <= 2048; ++rows) pool.New(rows, 64);
  // One buffer per size class: the sum of a geometric row, far below one buffer per row count.
  EXPECT_LT(pool.reserved_bytes(), size_t{2048} * 64 * 4 * 16);
}

}  // namespace
}  // namespace qwen25

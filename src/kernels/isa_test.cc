#include "kernels/isa.h"

#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <cstdlib>
#include <vector>

#include "base/test_util.h"
#include "kernels/isa_test_util.h"
#include "kernels/optimizer.h"

namespace qwen25 {
namespace {

// Leaves the process as it was.
class IsaTest : public testing::Test {
 protected:
  ~IsaTest() override {
    ::unsetenv("QWEN25_FORCE_ISA");
    if (ForceIsa(best_).ok()) hwy::SetSupportedTargetsForTest(0);
  }
  const std::string best_ = CurrentIsa();
};

TEST_F(IsaTest, TheBestOneIsFirstAndInUse) {
  ASSERT_FALSE(IsaNames().empty());
  EXPECT_EQ(IsaNames().front(), CurrentIsa());
}

TEST_F(IsaTest, EveryAvailableOneCanBeForcedAndKernelsRun) {
  ThreadPool threads(1);
  for (const std::string& name : IsaNames()) {
    ASSERT_OK(ForceIsa(name));
    EXPECT_EQ(CurrentIsa(), name);
    std::vector<float> x(100, 2.0f);
    std::vector<double> partials(1);
    EXPECT_EQ(SumOfSquares(threads, x.size(), x.data(), partials), 400.0);
    EXPECT_EQ(IsaNames().front(), best_) << "forcing one does not hide the others";
  }
}

TEST_F(IsaTest, UnknownAndForeignNamesAreRefusedWithTheList) {
  EXPECT_ERROR_CONTAINS(ForceIsa("AVX9"), "use one of: " + AvailableIsas());
  EXPECT_ERROR_CONTAINS(ForceIsa("WASM_EMU256"), "instruction set 'WASM_EMU256'");
  EXPECT_ERROR_CONTAINS(ForceIsa(""), "instruction set ''");
  EXPECT_EQ(CurrentIsa(), best_);
}

TEST_F(IsaTest, TheEnvironmentVariableForcesOrEndsTheProgram) {
  ::setenv("QWEN25_FORCE_ISA", IsaNames().back().c_str(), 1);
  ApplyForcedIsa();
  EXPECT_EQ(CurrentIsa(), IsaNames().back());
  ::setenv("QWEN25_FORCE_ISA", "", 1);
  ApplyForcedIsa();
  ::setenv("QWEN25_FORCE_ISA", "nonsense", 1);
  EXPECT_EXIT(ApplyForcedIsa(), testing::ExitedWithCode(2), "QWEN25_FORCE_ISA: instruction set 'nonsense'");
}

}  // namespace
}  // namespace qwen25

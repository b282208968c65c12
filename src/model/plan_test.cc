#include "model/plan.h"

#include <rapidcheck.h>

#include "base/test_util.h"

namespace qwen25 {
namespace {

TEST(PlanTest, TheFlagshipFitsOnAThousandLargeDevices) {
  PlanOptions options;
  options.num_devices = 1024;
  options.device_memory_bytes = uint64_t{141} << 30;
  ASSERT_OK_AND_ASSIGN(const ParallelLayout layout, PlanLayout(*FindPreset("flagship"), options));
  EXPECT_EQ(layout.tensor * layout.pipeline * layout.data, 1024u);
  EXPECT_LT(layout.TotalBytes(), options.device_memory_bytes);
  const std::string report = PlanReport("flagship", *FindPreset("flagship"), options);
  for (const char* wanted :
       {"128 layers x 128 heads", "parameters", "tensor x pipeline x data", "weights in bfloat16"}) {
    EXPECT_NE(report.find(wanted), std::string::npos) << wanted;
  }
}

TEST(PlanTest, SaysWhatIsMissing) {
  PlanOptions options;
  options.num_devices = 2;
  EXPECT_ERROR_CONTAINS(PlanLayout(*FindPreset("flagship"), options),
                        "no layout over 2 devices of 80.00 GiB fits");
  options.num_devices = 0;
  EXPECT_ERROR_CONTAINS(PlanLayout(*FindPreset("nano"), options), "devices is 0");
}

TEST(PlanTest, EveryLayoutUsesAllDevicesAndFits) {
  EXPECT_TRUE(rc::check("a layout divides heads and layers, uses every device and fits", [] {
    const Preset& preset = Presets()[*rc::gen::inRange<size_t>(0, Presets().size())];
    PlanOptions options;
    options.num_devices = *rc::gen::inRange<uint32_t>(1, 3000);
    options.device_memory_bytes = uint64_t{*rc::gen::inRange<uint32_t>(1, 300)} << 30;
    const auto layout = PlanLayout(preset.config, options);
    if (!layout.ok()) return;
    RC_ASSERT(layout->tensor * layout->pipeline * layout->data == options.num_devices);
    RC_ASSERT(preset.config.num_hidden_layers % layout->pipeline == 0u);
    RC_ASSERT(preset.config.num_key_value_heads % layout->tensor == 0u);
    RC_ASSERT(layout->TotalBytes() <= options.device_memory_bytes);
  }));
}

}  // namespace
}  // namespace qwen25

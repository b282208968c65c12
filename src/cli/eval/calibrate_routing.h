// qwen25 routing --calibrate: which policy suits a model.
#pragma once

#include <cstdint>
#include <string>

#include "base/status.h"

namespace qwen25 {

struct CalibrateFlags {
  uint32_t window = 0;  // 0: the default of CalibrationOptions
  double max_loss = 1;  // %
  uint64_t max_tokens = 0;
  bool json = false;
};

// Measures the candidates on `text`, prints them, draws them into `output` (SVG; empty: no picture), and
// keeps the policy of least work within the loss beside the model. No policy is kept, and an earlier one is
// removed, if none is within it.
Status RunCalibration(const std::string& model, const std::string& text_name, const std::string& text,
                      const std::string& output, const CalibrateFlags& flags);

}  // namespace qwen25

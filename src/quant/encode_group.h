// Codes and scale of one group of weights.
#pragma once

#include <cstdint>

#include "kernels/quant_gemm.h"

namespace qwen25 {

struct EncodedGroup {
  uint16_t scale;              // float16
  uint16_t minimum;            // float16; of formats that have one
  uint8_t codes[kQuantGroup];  // offset added (QuantCode::Offset)
};

// w [kQuantGroup], finite. quant/packed_weight.h says how the scale is chosen.
void EncodeInt8(const float* w, EncodedGroup& out);
void EncodeInt4(const float* w, EncodedGroup& out);
void EncodeInt4Minimum(const float* w, EncodedGroup& out);

}  // namespace qwen25

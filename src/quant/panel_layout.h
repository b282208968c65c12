// Packing one panel: what the sources of weights share. kernels/quant_gemm.h and kernels/gemm.h describe the
// layouts.
#pragma once

#include <cstddef>
#include <functional>

#include "base/status.h"
#include "base/thread_pool.h"
#include "quant/encode_group.h"
#include "quant/packed_weight.h"

namespace qwen25 {

size_t PanelBytes(WeightFormat format, size_t cols);
// One panel from its rows in float32, [32, cols]; rows after the end of the matrix are zero.
void PackPanel(WeightFormat format, size_t cols, const float* rows, std::byte* panel);
// Encodes w [32] in a quantised format.
void EncodeGroup(WeightFormat format, const float* w, EncodedGroup& group);
// Puts an encoded group into its record. `row` counts inside the panel.
void StoreGroup(const QuantCode& code, const EncodedGroup& group, size_t row, uint8_t* record);
// pack(panel, thread) for every panel of a matrix. Returns the error of the first panel that fails; panels
// after it may be left out.
Status ForPanels(ThreadPool& threads, size_t rows, const std::function<Status(size_t, size_t)>& pack);

}  // namespace qwen25

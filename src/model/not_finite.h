// Detects numbers that are not finite after a forward pass (an overflow, or damaged weights) and finds the
// layer that produced the first one.
#pragma once

#include <span>

#include "base/status.h"
#include "model/decoder.h"

namespace qwen25 {

// True if a row of the final hidden states holds a number that is not finite, or only zeros: RMSNorm turns a
// row whose squares overflow into zeros. Only ExplainOverflow can tell this from legitimate zeros.
bool MayHaveOverflowed(std::span<const float> hidden);

// Runs a forward pass again, which writes the same keys and values, to explain numbers that are not finite:
// kCorrupt names the first layer that produced one, and the formats of weights, keys and values. OK if all
// layers and, by `logits_are_finite`, the logits are finite.
Status ExplainOverflow(Execution& execution, const Model& model, const TokenBatch& batch,
                       DecoderOptions options, bool logits_are_finite);

// Checks the final hidden states [T, hidden] of a pass without logits. Runs the pass again only if a row may
// have overflowed; errors as ExplainOverflow.
Status CheckHidden(Execution& execution, const Model& model, const TokenBatch& batch,
                   const DecoderOptions& options, const Tensor& hidden);

}  // namespace qwen25

// Numbers that are not finite, since they overflowed or came from damaged weights: noticed after a forward
// pass, then searched for the layer that gave the first of them.
#pragma once

#include <span>

#include "base/status.h"
#include "model/decoder.h"

namespace qwen25 {

// True if none is infinite or NaN. Reads the numbers once, several at a time.
bool AllFinite(std::span<const float> values);

// True if a row of the final hidden states is not finite, or zero throughout, which is what RMSNorm makes of
// a row whose squares overflow. Only ExplainOverflow can tell such a row from one that is zero by right.
bool MayHaveOverflowed(std::span<const float> hidden);

// Why the numbers of a forward pass are not finite: kCorrupt, with the first layer that gives some, and the
// formats of weights, keys and values. OK where all layers and, as the caller knows, the logits are fine.
// Runs the pass again, which writes the same keys and values.
Status ExplainOverflow(Execution& execution, const Model& model, const TokenBatch& batch,
                       DecoderOptions options, bool logits_are_finite);

// The same for a pass without logits, whose final hidden states [T, hidden] are given: cheap unless a row may
// have overflowed.
Status CheckHidden(Execution& execution, const Model& model, const TokenBatch& batch,
                   const DecoderOptions& options, const Tensor& hidden);

}  // namespace qwen25

// Measures attention routing on a text, by layer and by token, beside dense attention.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "infer/engine.h"
#include "ops/routing/layer_routing.h"
#include "report/routing_map.h"
#include "text/tokenizer.h"

namespace qwen25 {

// Called with the name of the pass ("dense", "routed", "tracing") and the number of tokens that it has read;
// returning false stops.
using RoutingProgress = std::function<bool(std::string_view pass, size_t num_tokens)>;

// Reads a text three times: with dense and with routed attention for the times, then routed with a trace of
// all choices. The engine must keep summaries, and its routing() must not be dense. kInvalidArgument if there
// are no tokens or more than its context holds; errors of Session::Append.
Result<RoutingMap> MeasureRouting(InferenceEngine& engine, const Tokenizer& tokenizer,
                                  std::span<const int32_t> tokens, const RoutingProgress& progress = nullptr);

// [tokens] The number of blocks that each token read, averaged over kv heads and over the layers from
// `first_layer` on.
std::vector<double> BlocksReadPerToken(const RoutingTrace& trace, size_t first_layer);

// [side, side] RoutingMapLayer::cells of a layer.
std::vector<double> RoutingCells(const RoutingTrace& trace, size_t layer, size_t side);

}  // namespace qwen25

// The picture of what attention routing did with one text: which tokens read which blocks, and how many.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "ops/routing/layer_routing.h"
#include "text/tokenizer.h"

namespace qwen25 {

// What routing did in one layer.
struct LayerRoutingSummary {
  size_t layer = 0;
  bool routed = false;                    // its policy is not dense
  double read_share = 1;                  // of the blocks that were visible
  double estimated_share = 1;             // of the attention, of routed tokens
  double certain_share = 1;               // at least, by the bounds of what was left out
  double dense_again = 0;                 // share of routed tokens that read everything after all
  double gflops = 0, saved_gflops = 0;    // of scores and outputs, choosing not counted
  double seconds = 0, dense_seconds = 0;  // of attention in this text
};

struct RoutingMapInput {
  std::string title;
  std::string policy;
  std::span<const int32_t> tokens;
  const Tokenizer* tokenizer;
  const RoutingTrace* trace;
  std::vector<LayerRoutingSummary> layers;
};

// One HTML page with SVG pictures: the table of layers, blocks read per token, the text with its budget, and
// a map per layer (query blocks downwards, key blocks to the right, dark where many tokens read). No scripts,
// no other files.
std::string RenderRoutingMap(const RoutingMapInput& input);

// The chart of blocks read per token and the maps alone, as one <svg> element.
std::string RenderRoutingFigure(const RoutingMapInput& input);

// Blocks that each token read, averaged over kv heads and routed layers [tokens].
std::vector<double> BlocksReadPerToken(const RoutingMapInput& input);

}  // namespace qwen25

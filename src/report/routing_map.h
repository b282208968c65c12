// The picture of what attention routing did with one text: which tokens read which blocks, and how many.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace qwen25 {

// What routing did in one layer.
struct RoutingMapLayer {
  size_t layer = 0;
  bool routed = false;                    // its policy is not dense
  double read_share = 1;                  // of the blocks that were visible
  double estimated_share = 1;             // of the attention, of routed tokens
  double certain_share = 1;               // at least, by the bounds of what was left out
  double dense_again = 0;                 // share of routed tokens that read everything after all
  double gflops = 0, saved_gflops = 0;    // of scores and outputs, choosing not counted
  double seconds = 0, dense_seconds = 0;  // of attention in this text
  // [side, side]: rows are blocks of queries, columns blocks of keys, each the share of a row's tokens that
  // read a column's blocks. More blocks than RoutingMap::kMaxSide share cells.
  std::vector<double> cells;
};

struct RoutingMap {
  static constexpr size_t kMaxSide = 64;

  std::string title;
  std::string policy;
  std::vector<std::string> tokens;  // their texts; empty if the next token completes a character
  std::vector<double> blocks_read;  // by each token: mean over kv heads and routed layers
  size_t block_tokens = 64;
  size_t side = 0;  // of the layers' cells
  std::vector<RoutingMapLayer> layers;
};

// One HTML page with SVG pictures: the table of layers, blocks read per token, the text with its budget, and
// a map per layer (query blocks downwards, key blocks to the right, dark where many tokens read). No scripts,
// no other files.
std::string RenderRoutingMap(const RoutingMap& map);

// The chart of blocks read per token and the maps alone, as one <svg> element.
std::string RenderRoutingFigure(const RoutingMap& map);

}  // namespace qwen25

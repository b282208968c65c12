// A heat map of recall: histories of different lengths downwards, the depth of the fact to the right.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace qwen25 {

struct RecallMapRow {
  uint64_t length;
  std::vector<double> accuracy;  // 0 to 1, from the beginning of the history to its end
};
struct RecallMap {
  std::string title, detail;  // one line each
  std::vector<RecallMapRow> rows;
};

// One <svg> element.
std::string RenderRecallMap(const RecallMap& map);

}  // namespace qwen25

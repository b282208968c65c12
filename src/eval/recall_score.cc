#include "eval/recall_score.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/clock.h"
#include "memory/spill_file.h"
#include "report/chart.h"

namespace qwen25 {

uint32_t RecallScore::NumRight() const {
  return std::accumulate(right.begin(), right.end(), uint32_t{0});
}

double RecallScore::Accuracy() const {
  return NumRight() / static_cast<double>(right.size() * histories);
}

GrowthWatch::GrowthWatch(RecallScore& score, bool records)
    : score_(score), records_(records), start_(NowSeconds()) {
  ResetPeakResidentBytes();
}

void GrowthWatch::Note(uint64_t num_tokens) {
  const uint64_t resident = ReadPeakResidentBytes();
  ResetPeakResidentBytes();
  score_.resident_bytes = std::max(score_.resident_bytes, resident);
  if (records_) score_.growth.push_back({num_tokens, seconds(), resident});
}

double GrowthWatch::seconds() const {
  return NowSeconds() - start_;
}

RecallMap ToRecallMap(std::string title, std::span<const RecallScore> scores, const RoutingPolicy& policy) {
  RecallMap map{.title = std::move(title), .detail = policy.ToString()};
  for (const RecallScore& score : scores) {
    std::vector<double> row;
    for (const uint32_t count : score.right) row.push_back(count / static_cast<double>(score.histories));
    map.rows.push_back({score.length, row});
  }
  return map;
}

std::string RenderRecallGrowth(std::span<const RecallScore> scores) {
  const std::vector<RecallGrowth>& growth =
      std::ranges::max_element(scores, {}, &RecallScore::length)->growth;
  constexpr uint64_t kPoints = 100;
  const uint64_t interval = growth.back().tokens / kPoints;
  ChartSeries cost = {.name = "µs per token"}, memory = {.name = "MiB in RAM", .color = 1};
  RecallGrowth last = {};
  uint64_t most = 0;  // since `last`
  for (const RecallGrowth& point : growth) {
    most = std::max(most, point.resident_bytes);
    if (point.tokens - last.tokens < interval) continue;
    const auto x = static_cast<double>(point.tokens);
    cost.points.push_back(
        {x, 1e6 * (point.seconds - last.seconds) / static_cast<double>(point.tokens - last.tokens)});
    memory.points.push_back({x, static_cast<double>(most) / (1 << 20)});
    last = point;
    most = 0;
  }
  // Both scales end at about the same height.
  const auto value = [](const ChartPoint& point) { return point.y; };
  const double factor =
      std::ranges::max(memory.points, {}, value).y / std::ranges::max(cost.points, {}, value).y;
  for (ChartPoint& point : memory.points) point.y /= factor;
  return RenderSvg({.title = "Reading a history: cost of a token, memory of the process",
                    .x_label = "tokens of history",
                    .y_label = "µs per token",
                    .series = {cost, memory},
                    .right_axis = {.label = "MiB in RAM", .factor = factor},
                    .y_from_zero = true});
}

}  // namespace qwen25

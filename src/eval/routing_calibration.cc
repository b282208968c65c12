#include "eval/routing_calibration.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "eval/text_score.h"
#include "report/chart.h"

namespace qwen25 {
namespace {

// A way of choosing, whatever the number of blocks.
std::string WayOf(const RoutingPolicy& policy) {
  return fmt::format("score={}{}", BlockScoreName(policy.score),
                     policy.rerank > 1 ? fmt::format(",rerank={}", policy.rerank) : "");
}

}  // namespace

std::vector<RoutingPolicy> CandidatePolicies(uint32_t window) {
  constexpr std::pair<BlockScore, uint32_t> kWays[] = {{BlockScore::kOutlier, 1},
                                                       {BlockScore::kOutlier, 3},
                                                       {BlockScore::kOutlier, 8},
                                                       {BlockScore::kMean, 3}};
  const auto blocks = static_cast<uint32_t>(BlocksFor(window));
  std::vector<RoutingPolicy> policies;
  for (const auto& [score, rerank] : kWays) {
    for (const uint32_t part : {16, 8, 4}) {
      policies.push_back({.kind = RoutingPolicy::Kind::kTopK,
                          .score = score,
                          .max_blocks = std::max(blocks / part, 1u),
                          .local_blocks = std::min(blocks / 32, RoutingPolicy().local_blocks),
                          .dense_below = std::min(window / 8, 1024u),
                          .rerank = rerank});
    }
  }
  return policies;
}

Result<RoutingCalibration> CalibrateRouting(
    const Model& model, const Tokenizer& tokenizer, std::string_view text, const CalibrationOptions& options,
    const std::function<bool(uint64_t num_tokens, std::optional<uint64_t> total)>& progress) {
  constexpr uint32_t kWindow = 8192;
  RoutingCalibration calibration;
  calibration.window = options.window != 0
                           ? options.window
                           : static_cast<uint32_t>(std::min<size_t>(kWindow, model.config().MaxContext()));
  TextScoreOptions scoring = {
      .window = calibration.window,
      .stride = calibration.window - 1,
      .max_tokens = options.max_tokens != 0 ? options.max_tokens : calibration.window - 1};
  QWEN25_RETURN_IF_ERROR(scoring.Complete(model.config()));
  const std::vector<RoutingPolicy> policies =
      options.policies.empty() ? CandidatePolicies(calibration.window) : options.policies;
  uint64_t before = 0;
  std::optional<uint64_t> total;
  const auto measure = [&](const RoutingPolicy& policy) -> Result<CalibrationPoint> {
    scoring.routing = policy;
    TextScorer scorer(model, tokenizer, scoring);
    QWEN25_RETURN_IF_ERROR(
        scorer.AddText(text, [&](uint64_t done) { return !progress || progress(before + done, total); }));
    before += scorer.score().num_tokens;
    return CalibrationPoint{.policy = policy,
                            .perplexity = scorer.score().Perplexity(),
                            .read_share = scorer.ReadShare(),
                            .reranked_share = scorer.RerankedShare()};
  };
  QWEN25_TRY(const CalibrationPoint dense, measure(RoutingPolicy()));
  calibration.dense_perplexity = dense.perplexity;
  calibration.num_tokens = before;
  total = before * (1 + policies.size());
  for (const RoutingPolicy& policy : policies) {
    QWEN25_TRY(CalibrationPoint point, measure(policy));
    if (point.read_share == 1) {
      return InvalidArgument(
          "routing {} has nothing to choose in a text of {} tokens, read in windows of {}; give a longer "
          "text",
          policy.ToString(), calibration.num_tokens, calibration.window);
    }
    point.loss = point.perplexity / dense.perplexity - 1;
    calibration.points.push_back(point);
  }
  for (size_t i = 0; i < calibration.points.size(); ++i) {
    const CalibrationPoint& point = calibration.points[i];
    if (!(point.loss <= options.max_loss)) continue;
    if (!calibration.chosen || point.Work() < calibration.points[*calibration.chosen].Work()) {
      calibration.chosen = i;
    }
  }
  return calibration;
}

std::string RenderCalibration(const RoutingCalibration& calibration) {
  Chart chart = {.title = "Loss of routed attention by its work",
                 .x_label = "blocks read, and half of those scored by their keys, in % of dense attention",
                 .y_label = "perplexity above dense, %"};
  for (const CalibrationPoint& point : calibration.points) {
    const std::string way = WayOf(point.policy);
    if (chart.series.empty() || chart.series.back().name != way) {
      chart.series.push_back(
          {.name = way, .color = static_cast<int>(chart.series.size() % 4), .markers = true});
    }
    chart.series.back().points.push_back({100 * point.Work(), 100 * point.loss});
  }
  for (ChartSeries& series : chart.series) std::ranges::sort(series.points, {}, &ChartPoint::x);
  return RenderSvg(chart);
}

}  // namespace qwen25

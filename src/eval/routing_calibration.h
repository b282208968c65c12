// Which routing policy suits a model: the one that does least of dense attention's work and does not predict
// a text much worse.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "model/model.h"
#include "ops/routing/routing_policy.h"
#include "text/tokenizer.h"

namespace qwen25 {

struct CalibrationOptions {
  uint32_t window = 0;      // tokens of one forward pass; 0: 8192, or the model's positions if fewer
  uint64_t max_tokens = 0;  // most tokens of the text; 0: one window
  double max_loss = 0.01;   // how much greater than dense perplexity a policy's may be, as a share of it
  std::vector<RoutingPolicy> policies = {};  // candidates; empty: CandidatePolicies
};

// Candidates for windows of so many tokens, cheap and dear: by summaries alone and reranked, a sixteenth to a
// quarter of the window's blocks. Positions below an eighth of the window, at most 1,024, read everything.
std::vector<RoutingPolicy> CandidatePolicies(uint32_t window);

struct CalibrationPoint {
  RoutingPolicy policy;
  double perplexity = 0;
  double loss = 0;            // perplexity / dense perplexity - 1
  double read_share = 1;      // of the blocks that tokens could read
  double reranked_share = 0;  // of them, whose keys were scored

  // The share of dense attention's reading that is left: scoring a block by its keys reads half of it.
  double Work() const { return read_share + reranked_share / 2; }
};

struct RoutingCalibration {
  double dense_perplexity = 0;
  uint64_t num_tokens = 0;  // that were predicted
  uint32_t window = 0;
  std::vector<CalibrationPoint> points;  // a candidate each, in their order
  std::optional<size_t> chosen;          // of least work within max_loss; none: no candidate is
};

// `progress` gets the tokens read so far and, once it is known, of how many; returning false stops
// (kCancelled). kInvalidArgument if the text is too short to leave a candidate anything to choose; errors of
// TextScorer.
Result<RoutingCalibration> CalibrateRouting(
    const Model& model, const Tokenizer& tokenizer, std::string_view text, const CalibrationOptions& options,
    const std::function<bool(uint64_t num_tokens, std::optional<uint64_t> total)>& progress = nullptr);

// A chart, as SVG: loss by work, a line for each way of choosing.
std::string RenderCalibration(const RoutingCalibration& calibration);

}  // namespace qwen25

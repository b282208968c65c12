#include "infer/drafter.h"

#include <algorithm>

namespace qwen25 {
namespace {

// The cost of verification in decode steps: reading the weights for several rows instead of one, and the work
// per row. Compromises between the measurements (docs/benchmarks.md) with 8-bit weights (0.2 and 0.1) and
// 4-bit weights (0.1 and 0.2).
constexpr double kPassCost = 0.15;
constexpr double kRowCost = 0.12;
// Weight of the newest observation in a running mean.
constexpr double kLearningRate = 0.1;
// After this many calls without a proposal, the draft model proposes one token again.
constexpr size_t kIdleCalls = 32;

void Learn(bool accepted, double& acceptance) {
  acceptance += kLearningRate * ((accepted ? 1.0 : 0.0) - acceptance);
}

}  // namespace

size_t BestDraftLength(double acceptance, double pass_cost, double token_cost, size_t limit) {
  size_t best = 0;
  double best_rate = 1, expected = 1, power = 1;
  for (size_t k = 1; k <= limit; ++k) {
    power *= acceptance;
    expected += power;
    const double rate = expected / (1 + pass_cost + static_cast<double>(k) * token_cost);
    if (rate > best_rate) {
      best = k;
      best_rate = rate;
    }
  }
  return best;
}

LookupDrafter::LookupDrafter(size_t max_context_tokens) : index_(kMaxMatch, max_context_tokens + 1) {}

Status LookupDrafter::Start(std::span<const int32_t> context, const Session::Progress&) {
  index_.Hold(context);
  return {};
}

void LookupDrafter::Propose(std::span<const int32_t> context, size_t limit, Draft& draft) {
  draft.tokens.clear();
  draft.certain = true;
  predicted_.clear();
  index_.Hold(context);
  const auto [length, end] = index_.LongestMatch();
  match_length_ = length;
  if (length == 0) return;
  const size_t count = BestDraftLength(acceptance_[length], kPassCost, kRowCost, limit);
  // At least one token is predicted, so that acceptance_ is updated even if nothing is proposed. At the end
  // of the context the repetition continues with the predicted tokens.
  for (size_t i = 0; i < std::max<size_t>(1, count); ++i) {
    const size_t at = end + i;
    predicted_.push_back(at < context.size() ? context[at] : predicted_[at - context.size()]);
  }
  draft.tokens.assign(predicted_.begin(), predicted_.begin() + static_cast<std::ptrdiff_t>(count));
}

void LookupDrafter::Observe(std::span<const int32_t> actual) {
  for (size_t i = 0; i < std::min(predicted_.size(), actual.size()); ++i) {
    const bool right = predicted_[i] == actual[i];
    Learn(right, acceptance_[match_length_]);
    if (!right) return;
  }
}

ModelDrafter::ModelDrafter(InferenceEngine& engine, const SamplingOptions& sampling, size_t vocabulary,
                           double relative_cost)
    : session_(engine),
      sampler_(
          [&] {
            SamplingOptions options = sampling;
            options.seed = ~sampling.seed;  // its draws must be independent of the verifying ones
            return options;
          }(),
          engine.model().config().vocab_size),
      vocabulary_(vocabulary),
      relative_cost_(relative_cost) {}

std::span<const TokenProbability> ModelDrafter::NextDistribution(std::vector<TokenProbability>& out) {
  out.clear();
  double total = 0;
  for (const TokenProbability& candidate : sampler_.Distribution(session_.logits(), session_.tokens())) {
    if (static_cast<size_t>(candidate.id) >= vocabulary_) continue;
    out.push_back(candidate);
    total += candidate.probability;
  }
  for (TokenProbability& candidate : out) candidate.probability /= total;
  return out;
}

Status ModelDrafter::Start(std::span<const int32_t> context, const Session::Progress& progress) {
  const Status status = session_.HoldExactly(context, progress).status();
  // Propose deals with a context that does not fit.
  return status.code() == StatusCode::kCancelled ? status : Status();
}

void ModelDrafter::Propose(std::span<const int32_t> context, size_t limit, Draft& draft) {
  draft.tokens.clear();
  draft.certain = false;
  proposed_.clear();
  size_t count = BestDraftLength(acceptance_, kPassCost, kRowCost + relative_cost_, limit);
  if (count == 0 && ++num_idle_ >= kIdleCalls) count = std::min<size_t>(1, limit);
  // An error, such as a shorter context than the target's, only means that there is no proposal.
  if (count == 0 || !session_.HoldExactly(context).ok()) return;
  num_idle_ = 0;
  if (draft.distributions.size() < count) draft.distributions.resize(count);
  for (size_t i = 0; i < count; ++i) {
    const std::span<const TokenProbability> distribution = NextDistribution(draft.distributions[i]);
    if (distribution.empty()) break;
    const int32_t token = sampler_.Draw(distribution);
    draft.tokens.push_back(token);
    if (i + 1 < count && !session_.Append({&token, 1}).ok()) break;
  }
  proposed_ = draft.tokens;
}

void ModelDrafter::Observe(std::span<const int32_t> actual) {
  for (size_t i = 0; i < std::min(proposed_.size(), actual.size()); ++i) {
    const bool right = proposed_[i] == actual[i];
    Learn(right, acceptance_);
    if (!right) return;
  }
}

}  // namespace qwen25

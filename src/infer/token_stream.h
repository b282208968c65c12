// Tokens of an answer, several per forward pass where they could be foreseen. Lossless: without chance the
// tokens are those of plain decoding, with chance their distribution is.
//
// A drafter proposes tokens d1..dk; one forward pass over the last token and these gives the model's
// distributions p1..p(k+1) of what follows each. A proposal drawn from q is accepted with the chance
// min(1, p(d) / q(d)); the first that is not accepted is replaced by a draw from max(0, p - q), normalised,
// and what follows it is dropped. A token then has the distribution p exactly (Leviathan et al. 2023,
// arXiv:2211.17192). p and q are taken behind the whole sampling chain: penalty, temperature, top_k, top_p,
// min_p.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "infer/drafter.h"
#include "infer/sampler.h"
#include "infer/session.h"

namespace qwen25 {

struct SpeculationStats {
  size_t num_passes = 0;    // forward passes behind the prompt
  size_t num_proposed = 0;  // tokens
  size_t num_accepted = 0;

  // 1 without proposals; 0 where nothing ran behind the prompt.
  double TokensPerPass() const {
    return num_passes == 0 ? 0 : 1 + static_cast<double>(num_accepted) / static_cast<double>(num_passes);
  }
};

// Decides on one proposed token; memory for it is reused.
class DraftVerifier {
 public:
  explicit DraftVerifier(size_t vocabulary) : proposed_(vocabulary, 0.0) { rest_.reserve(vocabulary); }

  // The token that takes the place of `draft`: itself if it is accepted. `p`: the model's distribution; `q`:
  // the one that `draft` was drawn from, empty where it was certain. The result has the distribution p.
  int32_t Verify(Sampler& sampler, std::span<const TokenProbability> p, int32_t draft,
                 std::span<const TokenProbability> q);

 private:
  std::vector<double> proposed_;  // [vocabulary] q by id; zero between calls
  std::vector<TokenProbability> rest_;
};

// The tokens that continue what `session` holds.
class TokenStream {
 public:
  // `session` has logits of its last token. `drafter` may be null; at most `max_draft_tokens` are verified at
  // once (no more than Session::kMaxLogitRows - 1). All must outlive this object, and nobody else may touch
  // the session.
  TokenStream(Session& session, const SamplingOptions& sampling, Drafter* drafter, size_t max_draft_tokens);
  // The session then holds at most what Next gave.
  ~TokenStream();
  TokenStream(const TokenStream&) = delete;
  TokenStream& operator=(const TokenStream&) = delete;

  // The next token; the one before it is part of the context now. `wanted`: tokens that will be asked for at
  // most, this one included. kInvalidArgument when the context is full.
  Result<int32_t> Next(size_t wanted);

  const SpeculationStats& stats() const { return stats_; }

 private:
  Status Advance(size_t wanted);
  void Verify(size_t first_position);

  Session& session_;
  Sampler sampler_;
  Drafter* const drafter_;
  const size_t max_draft_tokens_;
  DraftVerifier verifier_;
  std::vector<int32_t> context_;  // the session's tokens at the start, then all that Next gave
  std::vector<int32_t> ready_;    // tokens that are drawn; the last one is not in the session
  size_t num_given_ = 0;          // of them
  Draft draft_;
  std::vector<int32_t> batch_;
  SpeculationStats stats_;
};

}  // namespace qwen25

// The tokens of an answer, several per forward pass where they could be foreseen. Lossless: without chance
// the tokens are those of plain decoding, with chance their distribution is.
//
// A drafter proposes tokens d1..dk; one forward pass over the last token and these gives the model's
// distributions p1..p(k+1) of what follows each. A proposal drawn from q is accepted with the chance
// min(1, p(d) / q(d)); the first that is not accepted is replaced by a draw from max(0, p - q), normalised,
// and what follows it is dropped. A token then has the distribution p exactly (Leviathan et al. 2023,
// arXiv:2211.17192). p and q are taken after the whole sampling chain: penalty, temperature, top_k, top_p,
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
  size_t num_passes = 0;    // forward passes after the prompt
  size_t num_proposed = 0;  // tokens
  size_t num_accepted = 0;

  // 1 without proposals; 0 if nothing ran after the prompt.
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

// The tokens that continue what `session` holds, step by step: Take draws tokens, Propose says what must be
// appended to the session before more can be drawn. Whoever calls decides how that runs: alone, or in one
// forward pass with the steps of other streams.
//
//   TokenStream stream(session, ...);
//   stream.Take()                                   the first tokens
//   stream.Propose(n), append that, stream.Take()   more, as often as wanted
class TokenStream {
 public:
  // `session` has logits of its last token. `drafter` may be null; at most `max_draft_tokens` are verified at
  // once (no more than Session::kMaxLogitRows - 1). All must outlive this object, and nobody else may touch
  // the session.
  TokenStream(Session& session, const SamplingOptions& sampling, Drafter* drafter, size_t max_draft_tokens);
  TokenStream(const TokenStream&) = delete;
  TokenStream& operator=(const TokenStream&) = delete;

  // Draws from the logits that the session has. Returns at least one token, the last of which the session
  // does not hold yet; valid until the next call. Fails, with what the session says, if it has no logits.
  Result<std::span<const int32_t>> Take();
  // What to append, with how many rows of logits, before the next Take: the last token, and proposals of what
  // follows it. `num_wanted`: tokens that the next Take may return, at least 1. If appending fails, the call
  // may be repeated; with 1 it proposes nothing and needs the least room. Valid until the next call.
  SessionTokens Propose(size_t num_wanted);
  // Ends the stream without the last `count` tokens of the last Take: the session forgets them, too.
  void DropLast(size_t count);

  const SpeculationStats& stats() const { return stats_; }

 private:
  void Verify();

  Session& session_;
  Sampler sampler_;
  Drafter* const drafter_;
  const size_t max_draft_tokens_;
  DraftVerifier verifier_;
  std::vector<int32_t> context_;  // the session's tokens at the start, then all that Take gave
  std::vector<int32_t> taken_;    // by the last Take
  size_t first_position_ = 0;     // of what Propose said, in the session
  bool asked_drafter_ = false;    // it learns from the next Take
  Draft draft_;
  std::vector<int32_t> batch_;  // what Propose said
  SpeculationStats stats_;
};

// One step of a stream that runs alone: appends what it proposes, or, if there is no room for that, its
// last token alone. Errors of Session::Append.
Status AppendProposal(TokenStream& stream, size_t num_wanted);

}  // namespace qwen25

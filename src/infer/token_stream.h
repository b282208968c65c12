// Draws the tokens of an answer, several per forward pass by speculative decoding. Lossless: greedy decoding
// gives the tokens of plain decoding, and sampling gives their distribution.
//
// A drafter proposes tokens d1..dk. One forward pass over the last token and the proposals gives the model's
// distributions p1..p(k+1) of the token after each. A proposal d drawn from q is accepted with probability
// min(1, p(d) / q(d)). The first rejected proposal is replaced by a draw from max(0, p - q), normalised, and
// the proposals after it are dropped. Every token then has exactly the distribution p (Leviathan et al. 2023,
// arXiv:2211.17192). p and q are the distributions after all sampling steps (SamplingOptions).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "infer/drafter.h"
#include "infer/logits_rule.h"
#include "infer/sampler.h"
#include "infer/session.h"
#include "infer/token_scores.h"

namespace qwen25 {

struct SpeculationStats {
  size_t num_passes = 0;    // forward passes after the prompt
  size_t num_proposed = 0;  // tokens
  size_t num_accepted = 0;  // tokens

  // 1 without proposals; 0 if nothing ran after the prompt.
  double TokensPerPass() const {
    return num_passes == 0 ? 0 : 1 + static_cast<double>(num_accepted) / static_cast<double>(num_passes);
  }
};

// Accepts or replaces one proposed token. Reuses its memory.
class DraftVerifier {
 public:
  explicit DraftVerifier(size_t vocabulary) : proposed_(vocabulary, 0.0) { rest_.reserve(vocabulary); }

  // Returns `draft` if it is accepted, otherwise its replacement. `p`: the model's distribution; `q`: the
  // distribution that `draft` was drawn from, empty if the choice was deterministic. The result has the
  // distribution p.
  int32_t Verify(Sampler& sampler, std::span<const TokenProbability> p, int32_t draft,
                 std::span<const TokenProbability> q);

 private:
  std::vector<double> proposed_;  // [vocabulary] q by id; zero between calls
  std::vector<TokenProbability> rest_;
};

// Continues a session step by step: Take draws tokens, and Propose says which tokens the caller must append
// to the session before the next Take, alone or in one forward pass with the tokens of other streams.
//
//   TokenStream stream(session, ...);
//   stream.Take()                                       the first token
//   stream.Propose(n), append these, stream.Take()      more tokens, repeated
class TokenStream {
 public:
  // `session` must have the logits of its last token. `drafter` may be null. At most `max_draft_tokens` are
  // verified at once, and no more than Session::kMaxLogitRows - 1. All must outlive this object. Only
  // Propose's tokens may be appended to the session.
  TokenStream(Session& session, const SamplingOptions& sampling, Drafter* drafter, size_t max_draft_tokens);
  TokenStream(const TokenStream&) = delete;
  TokenStream& operator=(const TokenStream&) = delete;

  // Before the first token: all tokens follow this rule, which must outlive the stream.
  void SetRule(LogitsRule* rule) { rule_ = rule; }
  // Before the first token: scores() tells about all tokens, with so many of the most likely ones.
  void KeepScores(size_t num_top) { num_top_ = num_top; }

  // The part of Take that only reads the session, and that different streams can run at the same time: draws
  // the tokens that the next Take returns. Fails as Take does.
  Status Draw();
  // Draws from the session's logits. Returns at least one token; the session holds all but the last of them.
  // Valid until the next Draw or Take. Fails with Session::error() if the last forward pass failed.
  Result<std::span<const int32_t>> Take();
  // The tokens to append before the next Take, with their rows of logits: the last token drawn, then
  // proposals. `num_wanted`: the most tokens that the next Take may return, at least 1; with 1 nothing is
  // proposed, which needs the least room. If appending fails, Propose may be called again. Valid until the
  // next call.
  SessionTokens Propose(size_t num_wanted);
  // Ends the stream and takes back the last `count` tokens of the last Take, from the session too.
  void DropLast(size_t count);

  // Of the tokens of the last Take, if they are kept.
  std::span<const TokenScore> scores() const { return scores_; }
  const SpeculationStats& stats() const { return stats_; }

 private:
  // The next token, and what it counts for, from the logits in `row`. `history`: the tokens before it.
  // `draft`: the index of the proposal to verify, none to draw freely.
  int32_t DrawFrom(std::span<float> row, std::span<const int32_t> history, std::optional<size_t> draft);

  Session& session_;
  Sampler sampler_;
  Drafter* const drafter_;
  const size_t max_draft_tokens_;
  DraftVerifier verifier_;
  std::vector<int32_t> context_;  // the session's tokens at the start, then all tokens drawn
  std::vector<int32_t> taken_;    // tokens of the last Draw
  bool has_drawn_ = false;        // since the last Take
  LogitsRule* rule_ = nullptr;
  std::optional<size_t> num_top_;
  std::vector<float> raw_logits_;  // [vocabulary] of the token being drawn, if scores are kept
  std::vector<TokenScore> scores_;
  size_t first_position_ = 0;   // position of batch_[0] in the session
  bool asked_drafter_ = false;  // the drafter is to be told the tokens of the next Take
  Draft draft_;
  std::vector<int32_t> batch_;  // the tokens of the last Propose
  SpeculationStats stats_;
};

// One step of a stream that runs alone: appends the tokens of Propose, or only the last token drawn if there
// is no room for proposals. Errors of Session::Append.
Status AppendProposal(TokenStream& stream, size_t num_wanted);

}  // namespace qwen25

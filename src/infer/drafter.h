// Where proposals for the next tokens come from when decoding speculates (infer/token_stream.h).
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "infer/ngram_index.h"
#include "infer/sampler.h"
#include "infer/session.h"

namespace qwen25 {

// Tokens that may come next, in their order.
struct Draft {
  std::vector<int32_t> tokens;
  // distributions[i] is what tokens[i] was drawn from; where `certain`, each token was sure to be proposed
  // and they mean nothing. Only the first tokens.size() count: the others are memory for later.
  bool certain = true;
  std::vector<std::vector<TokenProbability>> distributions;
};

// How many tokens to propose when each is accepted with the chance `acceptance`, and a forward pass over k
// proposed tokens costs 1 + pass_cost + k * token_cost decode steps (1 for k = 0). The length with the most
// tokens per cost, where 1 + a + ... + a^k are expected (arXiv:2211.17192, equation 1); at most `limit`, and
// 0 where nothing pays.
size_t BestDraftLength(double acceptance, double pass_cost, double token_cost, size_t limit);

// Proposes tokens, and learns from what became of them how many are worth proposing. What it proposes depends
// on tokens alone, never on time, so that a seed repeats.
class Drafter {
 public:
  virtual ~Drafter() = default;

  // Reads `context`, a prompt, ahead of the first Propose: a draft model's part of the time to the first
  // token. kCancelled when `progress` says so; no other error.
  virtual Status Start(std::span<const int32_t> context, const Session::Progress& progress) = 0;
  // Sets `draft` to at most `limit` tokens after `context`, none if that does not pay.
  virtual void Propose(std::span<const int32_t> context, size_t limit, Draft& draft) = 0;
  // The tokens that followed the context of the last Propose: those accepted, and the one after them.
  virtual void Observe(std::span<const int32_t> actual) = 0;
};

// Prompt lookup: the last tokens have stood in the context before, and what followed them there is proposed.
// The longest match counts, of equal ones the most recent. How often proposals are right
// is tracked for each length of match, also while they are not made, so that it starts again by itself.
class LookupDrafter : public Drafter {
 public:
  static constexpr size_t kMaxMatch = 8;  // tokens

  // Allocates nothing later as long as a context has at most `max_context_tokens`.
  explicit LookupDrafter(size_t max_context_tokens);

  Status Start(std::span<const int32_t> context, const Session::Progress& progress) override;
  void Propose(std::span<const int32_t> context, size_t limit, Draft& draft) override;
  void Observe(std::span<const int32_t> actual) override;

 private:
  NgramIndex index_;
  // Chance that a proposal after a match of this length is right. Short matches have to prove themselves.
  std::array<double, kMaxMatch + 1> acceptance_ = {0, 0.05, 0.2, 0.5, 0.6, 0.7, 0.7, 0.8, 0.8};
  size_t match_length_ = 0;         // of the last Propose
  std::vector<int32_t> predicted_;  // by it, at least one token where there was a match
};

// A smaller model with the same tokens draws proposals as the target would.
class ModelDrafter : public Drafter {
 public:
  // `engine` runs the draft model. Only ids below `vocabulary`, the target's rows, are proposed.
  // `relative_cost`: a decode step of the draft model in decode steps of the target.
  ModelDrafter(InferenceEngine& engine, const SamplingOptions& sampling, size_t vocabulary,
               double relative_cost);

  Status Start(std::span<const int32_t> context, const Session::Progress& progress) override;
  void Propose(std::span<const int32_t> context, size_t limit, Draft& draft) override;
  void Observe(std::span<const int32_t> actual) override;

 private:
  // The draft model's distribution of its next token, without ids that the target does not have.
  std::span<const TokenProbability> NextDistribution(std::vector<TokenProbability>& out);

  Session session_;
  Sampler sampler_;
  const size_t vocabulary_;
  const double relative_cost_;
  double acceptance_ = 0.7;
  size_t num_idle_ = 0;  // calls since the last proposal
  std::vector<int32_t> proposed_;
};

}  // namespace qwen25

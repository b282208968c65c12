// Sources of proposed tokens for speculative decoding (infer/token_stream.h).
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "infer/ngram_index.h"
#include "infer/sampler.h"
#include "infer/session.h"

namespace qwen25 {

// The proposed next tokens, in order.
struct Draft {
  std::vector<int32_t> tokens;
  // tokens[i] was drawn from distributions[i]. If `certain`, the choice was deterministic and the
  // distributions are meaningless. Entries after the first tokens.size() are only kept for their memory.
  bool certain = true;
  std::vector<std::vector<TokenProbability>> distributions;
};

// The number k of tokens to propose, 0 to `limit`, that maximises the expected tokens per cost. Each token is
// accepted with probability a = `acceptance`, so that 1 + a + ... + a^k tokens are expected
// (arXiv:2211.17192, equation 1). The pass costs 1 + pass_cost + k * token_cost decode steps, or 1 if k = 0.
size_t BestDraftLength(double acceptance, double pass_cost, double token_cost, size_t limit);

// Proposes tokens, and learns from their acceptance how many are worth proposing. Proposals depend on tokens
// alone, never on time, so that the same seed gives the same tokens.
class Drafter {
 public:
  virtual ~Drafter() = default;

  // Reads the prompt `context` before the first Propose. For a draft model this adds to the time to the
  // first token. The only error is kCancelled, if `progress` returns false.
  virtual Status Start(std::span<const int32_t> context, const Session::Progress& progress) = 0;
  // Sets `draft` to at most `limit` tokens that may follow `context`; to none if proposing does not pay.
  virtual void Propose(std::span<const int32_t> context, size_t limit, Draft& draft) = 0;
  // `actual`: the tokens that followed the context of the last Propose, that is, the accepted ones and the
  // one after them.
  virtual void Observe(std::span<const int32_t> actual) = 0;
};

// Prompt lookup: finds an earlier occurrence of the last tokens in the context and proposes the tokens that
// followed there. The longest match wins; of equally long ones, the latest. The share of correct proposals is
// tracked for each match length, even while none are made, so that proposing resumes by itself.
class LookupDrafter : public Drafter {
 public:
  static constexpr size_t kMaxMatch = 8;  // tokens

  // Allocates nothing later while contexts have at most `max_context_tokens`.
  explicit LookupDrafter(size_t max_context_tokens);

  Status Start(std::span<const int32_t> context, const Session::Progress& progress) override;
  void Propose(std::span<const int32_t> context, size_t limit, Draft& draft) override;
  void Observe(std::span<const int32_t> actual) override;

 private:
  NgramIndex index_;
  // Estimated probability that a proposal is right, by match length. It starts low for short matches, which
  // have to prove themselves.
  std::array<double, kMaxMatch + 1> acceptance_ = {0, 0.05, 0.2, 0.5, 0.6, 0.7, 0.7, 0.8, 0.8};
  size_t match_length_ = 0;         // in the last Propose
  std::vector<int32_t> predicted_;  // by the last Propose; at least one token if there was a match
};

// A smaller model with the same tokens draws proposals with the target's sampling options.
class ModelDrafter : public Drafter {
 public:
  // `engine` runs the draft model and must outlive this object. Only ids below `vocabulary`, the target's
  // number of embedding rows, are proposed. `relative_cost`: the cost of a decode step of the draft model, in
  // decode steps of the target.
  ModelDrafter(InferenceEngine& engine, const SamplingOptions& sampling, size_t vocabulary,
               double relative_cost);

  Status Start(std::span<const int32_t> context, const Session::Progress& progress) override;
  void Propose(std::span<const int32_t> context, size_t limit, Draft& draft) override;
  void Observe(std::span<const int32_t> actual) override;

 private:
  // The draft model's distribution of the next token, without ids that the target lacks.
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

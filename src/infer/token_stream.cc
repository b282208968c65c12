#include "infer/token_stream.h"

#include <algorithm>

namespace qwen25 {

int32_t DraftVerifier::Verify(Sampler& sampler, std::span<const TokenProbability> p, int32_t draft,
                              std::span<const TokenProbability> q) {
  const auto draft_index = static_cast<size_t>(draft);
  for (const TokenProbability& candidate : q) {
    proposed_[static_cast<size_t>(candidate.id)] = candidate.probability;
  }
  if (q.empty()) proposed_[draft_index] = 1;
  double chance = 0;  // p(draft)
  rest_.clear();
  for (const TokenProbability& candidate : p) {
    if (candidate.id == draft) chance = candidate.probability;
    const double more = candidate.probability - proposed_[static_cast<size_t>(candidate.id)];
    if (more > 0) rest_.push_back({candidate.id, more});
  }
  const bool accepted = sampler.Uniform() * proposed_[draft_index] < chance;
  for (const TokenProbability& candidate : q) proposed_[static_cast<size_t>(candidate.id)] = 0;
  proposed_[draft_index] = 0;
  if (accepted) return draft;
  // Nothing is left only if p and q are equal up to rounding.
  return sampler.Draw(rest_.empty() ? p : rest_);
}

TokenStream::TokenStream(Session& session, const SamplingOptions& sampling, Drafter* drafter,
                         size_t max_draft_tokens)
    : session_(session),
      sampler_(sampling, session.logits().size()),
      drafter_(drafter),
      max_draft_tokens_(std::min(max_draft_tokens, Session::kMaxLogitRows - 1)),
      verifier_(session.logits().size()) {
  context_.reserve(session.tokens().size() + session.room() + 1);
  context_.assign(session.tokens().begin(), session.tokens().end());
  for (auto* tokens : {&taken_, &batch_, &draft_.tokens}) tokens->reserve(max_draft_tokens_ + 1);
}

Result<std::span<const int32_t>> TokenStream::Take() {
  QWEN25_RETURN_IF_ERROR(session_.error());
  QWEN25_CHECK(session_.tokens().size() == first_position_ + batch_.size() || taken_.empty());
  if (taken_.empty()) {  // the first call: nothing was proposed
    taken_.push_back(sampler_.Sample(session_.logits(), session_.tokens()));
  } else {
    Verify();
    if (asked_drafter_) drafter_->Observe(taken_);
  }
  context_.insert(context_.end(), taken_.begin(), taken_.end());
  return std::span<const int32_t>(taken_);
}

SessionTokens TokenStream::Propose(size_t num_wanted) {
  QWEN25_CHECK(num_wanted > 0 && !taken_.empty());
  const size_t room = session_.room();
  const size_t limit = room == 0 ? 0 : std::min({max_draft_tokens_, num_wanted - 1, room - 1});
  first_position_ = session_.tokens().size();
  draft_.tokens.clear();
  asked_drafter_ = drafter_ != nullptr && limit > 0;
  if (asked_drafter_) drafter_->Propose(context_, limit, draft_);
  batch_.assign(1, context_.back());
  batch_.insert(batch_.end(), draft_.tokens.begin(), draft_.tokens.end());
  return {&session_, batch_, batch_.size()};
}

void TokenStream::Verify() {
  taken_.clear();
  ++stats_.num_passes;
  stats_.num_proposed += draft_.tokens.size();
  for (size_t i = 0; i < draft_.tokens.size(); ++i) {
    const auto history = session_.tokens().first(first_position_ + i + 1);
    const int32_t draft = draft_.tokens[i];
    const std::span<const TokenProbability> p = sampler_.Distribution(session_.logits(i), history);
    const std::span<const TokenProbability> q =
        draft_.certain ? std::span<const TokenProbability>() : draft_.distributions[i];
    taken_.push_back(verifier_.Verify(sampler_, p, draft, q));
    if (taken_.back() != draft) {
      session_.Truncate(first_position_ + i + 1);
      return;
    }
    ++stats_.num_accepted;
  }
  taken_.push_back(sampler_.Sample(session_.logits(), session_.tokens()));
}

void TokenStream::DropLast(size_t count) {
  QWEN25_CHECK(count <= taken_.size());
  context_.resize(context_.size() - count);
  if (session_.tokens().size() > context_.size()) session_.Truncate(context_.size());
}

Status AppendProposal(TokenStream& stream, size_t num_wanted) {
  const auto append = [](const SessionTokens& part) {
    return part.session->Append(part.tokens, nullptr, part.num_logit_rows);
  };
  const SessionTokens proposal = stream.Propose(num_wanted);
  const size_t num_tokens = proposal.tokens.size();
  const Status status = append(proposal);
  // Other sessions hold the memory; the last token alone may still fit.
  if (status.code() == StatusCode::kResourceExhausted && num_tokens > 1) return append(stream.Propose(1));
  return status;
}

}  // namespace qwen25

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
  // Nothing is left only where p and q agree but for rounding.
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
  for (auto* tokens : {&ready_, &batch_, &draft_.tokens}) tokens->reserve(max_draft_tokens_ + 1);
}

TokenStream::~TokenStream() {
  if (session_.tokens().size() > context_.size()) session_.Truncate(context_.size());
}

Result<int32_t> TokenStream::Next(size_t wanted) {
  if (num_given_ == ready_.size()) QWEN25_RETURN_IF_ERROR(Advance(std::max<size_t>(1, wanted)));
  const int32_t token = ready_[num_given_++];
  context_.push_back(token);
  return token;
}

Status TokenStream::Advance(size_t wanted) {
  const bool first = ready_.empty();
  if (first) {
    ready_.push_back(sampler_.Sample(session_.logits(), session_.tokens()));
    return {};
  }
  const size_t room = session_.room();
  const size_t limit = room == 0 ? 0 : std::min({max_draft_tokens_, wanted - 1, room - 1});
  draft_.tokens.clear();
  const bool proposing = drafter_ != nullptr && limit > 0;
  if (proposing) drafter_->Propose(context_, limit, draft_);
  batch_.assign(1, context_.back());
  batch_.insert(batch_.end(), draft_.tokens.begin(), draft_.tokens.end());
  const size_t first_position = session_.tokens().size();
  Status status = session_.Append(batch_, nullptr, batch_.size());
  if (!status.ok() && batch_.size() > 1) {  // other sessions hold the memory: without proposals it may do
    draft_.tokens.clear();
    status = session_.Append(std::span(batch_).first(1));
  }
  QWEN25_RETURN_IF_ERROR(status);
  Verify(first_position);
  if (proposing) drafter_->Observe(ready_);
  return {};
}

void TokenStream::Verify(size_t first_position) {
  ready_.clear();
  num_given_ = 0;
  ++stats_.num_passes;
  stats_.num_proposed += draft_.tokens.size();
  for (size_t i = 0; i < draft_.tokens.size(); ++i) {
    const auto history = session_.tokens().first(first_position + i + 1);
    const int32_t draft = draft_.tokens[i];
    const std::span<const TokenProbability> p = sampler_.Distribution(session_.logits(i), history);
    const std::span<const TokenProbability> q =
        draft_.certain ? std::span<const TokenProbability>() : draft_.distributions[i];
    ready_.push_back(verifier_.Verify(sampler_, p, draft, q));
    if (ready_.back() != draft) {
      session_.Truncate(first_position + i + 1);
      return;
    }
    ++stats_.num_accepted;
  }
  ready_.push_back(sampler_.Sample(session_.logits(), session_.tokens()));
}

}  // namespace qwen25

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
      sampler_(sampling, session.logits().size(), session.tokens().size()),
      drafter_(drafter),
      max_draft_tokens_(std::min(max_draft_tokens, Session::kMaxLogitRows - 1)),
      verifier_(session.logits().size()) {
  context_.reserve(session.tokens().size() + session.room() + 1);
  context_.assign(session.tokens().begin(), session.tokens().end());
  for (auto* tokens : {&taken_, &batch_, &draft_.tokens}) tokens->reserve(max_draft_tokens_ + 1);
}

int32_t TokenStream::DrawFrom(std::span<float> row, std::span<const int32_t> history,
                              std::optional<size_t> draft) {
  if (num_top_) raw_logits_.assign(row.begin(), row.end());
  if (rule_ != nullptr) rule_->Apply(row);
  int32_t token = 0;
  if (draft) {
    const std::span<const TokenProbability> p = sampler_.Distribution(row, history);
    const std::span<const TokenProbability> q =
        draft_.certain ? std::span<const TokenProbability>() : draft_.distributions[*draft];
    token = verifier_.Verify(sampler_, p, draft_.tokens[*draft], q);
  } else {
    token = sampler_.Sample(row, history);
  }
  if (rule_ != nullptr) rule_->Accept(token);
  if (num_top_) scores_.push_back(ScoreToken(raw_logits_, token, *num_top_));
  return token;
}

Status TokenStream::Draw() {
  QWEN25_RETURN_IF_ERROR(session_.error());
  QWEN25_CHECK(!has_drawn_ &&
               (session_.tokens().size() == first_position_ + batch_.size() || taken_.empty()));
  has_drawn_ = true;
  scores_.clear();
  if (taken_.empty()) {  // the first call: nothing was proposed
    taken_.push_back(DrawFrom(session_.logits(), session_.tokens(), std::nullopt));
    return {};
  }
  taken_.clear();
  ++stats_.num_passes;
  stats_.num_proposed += draft_.tokens.size();
  for (size_t i = 0; i < draft_.tokens.size(); ++i) {
    taken_.push_back(DrawFrom(session_.logits(i), session_.tokens().first(first_position_ + i + 1), i));
    if (taken_.back() != draft_.tokens[i]) return {};
    ++stats_.num_accepted;
  }
  taken_.push_back(DrawFrom(session_.logits(), session_.tokens(), std::nullopt));
  return {};
}

Result<std::span<const int32_t>> TokenStream::Take() {
  if (!has_drawn_) QWEN25_RETURN_IF_ERROR(Draw());
  has_drawn_ = false;
  if (!batch_.empty()) {
    // What was proposed after the first token that was not accepted.
    if (const size_t count = first_position_ + taken_.size(); count < session_.tokens().size()) {
      session_.Truncate(count);
    }
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

void TokenStream::DropLast(size_t count) {
  QWEN25_CHECK(count <= taken_.size());
  context_.resize(context_.size() - count);
  if (rule_ != nullptr) rule_->Rollback(count);
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

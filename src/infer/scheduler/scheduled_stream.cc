#include "infer/scheduler/scheduled_stream.h"

#include <algorithm>
#include <utility>

#include "base/clock.h"

namespace qwen25 {
namespace {

// Tokens of a prompt whose scores one pass computes: each takes a row of logits.
constexpr size_t kScoredAtOnce = 64;
constexpr size_t kMostProposed = 16;

}  // namespace

ScheduledStream::ScheduledStream(uint64_t id, InferenceEngine& engine, const Tokenizer& tokenizer,
                                 StreamRequest request, std::shared_ptr<StreamObserver> observer,
                                 double submitted)
    : id_(id),
      engine_(engine),
      request_(std::move(request)),
      observer_(std::move(observer)),
      submitted_(submitted),
      reading_(request_.prompt),
      answer_(tokenizer, request_.answer, [this](std::string_view text) {
        piece_ += text;
        return true;
      }) {
  result_.num_prompt_tokens = request_.prompt.size();
}

size_t ScheduledStream::NumCommonTokens(const ScheduledStream& other) const {
  if (request_.name_space != other.request_.name_space) return 0;
  if (session_->routing().ToString() != other.session_->routing().ToString()) return 0;
  if (HashOf(session_->adapters().get()) != HashOf(other.session_->adapters().get())) return 0;
  const auto differ = std::ranges::mismatch(reading_, other.reading_).in1;
  const auto count = std::min(static_cast<size_t>(differ - reading_.begin()), reading_.size() - 1);
  return count / kBlockTokens * kBlockTokens;
}

Status ScheduledStream::Begin(std::span<const std::unique_ptr<ScheduledStream>> others) {
  if (!session_) {
    begun_ = NowSeconds();
    session_.emplace(engine_, request_.name_space);
    if (request_.adapters) QWEN25_RETURN_IF_ERROR(session_->SetAdapters(request_.adapters));
    if (request_.routing) QWEN25_RETURN_IF_ERROR(session_->SetRouting(*request_.routing));
  }
  has_begun_ = true;
  if (request_.scores_prompt) return {};  // every token must be computed
  QWEN25_TRY(const PrefixReuse reuse, session_->Reuse(reading_));
  if (!stream_) result_.reuse = reuse;
  num_to_follow_ = num_read();
  for (const auto& other : others) {
    if (!other->reads() || other.get() == this) continue;
    const size_t common = NumCommonTokens(*other);
    if (common <= num_to_follow_) continue;
    leader_ = other->id();
    num_to_follow_ = common;
  }
  return {};
}

Status ScheduledStream::Follow(std::span<const std::unique_ptr<ScheduledStream>> others) {
  const auto leader = std::ranges::find(others, leader_, [](const auto& other) { return other->id(); });
  const bool goes_on = leader != others.end() && (*leader)->reads() && (*leader)->num_read() < num_to_follow_;
  if (goes_on) return {};
  leader_ = 0;
  QWEN25_TRY(const PrefixReuse reuse, session_->Reuse(reading_));
  if (stream_) return {};
  result_.reuse.shared += reuse.shared;
  result_.reuse.stored += reuse.stored;
  if (!reuse.store.ok()) result_.reuse.store = reuse.store;
  return {};
}

void ScheduledStream::Preempt() {
  if (draws()) reading_.assign(session_->tokens().begin(), session_->tokens().end());
  session_->Publish();
  session_->Truncate(0);
  has_begun_ = false;
  leader_ = 0;
}

SessionTokens ScheduledStream::NextRead(size_t count) {
  QWEN25_CHECK(reads() && count > 0);
  count = std::min(count, num_left());
  if (request_.scores_prompt) count = std::min(count, kScoredAtOnce);
  const bool is_last = count == num_left();
  has_read_ = true;
  return {.session = &*session_,
          .tokens = std::span(reading_).subspan(num_read(), count),
          .num_logit_rows = request_.scores_prompt ? count : size_t{is_last && !stream_}};
}

SessionTokens ScheduledStream::NextDraw(bool speculates) {
  QWEN25_CHECK(draws() && stream_);
  has_read_ = false;
  // What is drawn with a temperature depends on what was proposed, and must not depend on anything else.
  const bool is_greedy = request_.sampling.temperature == 0;
  const bool proposes =
      request_.speculation == Speculation::kOn ? !is_greedy || speculates : is_greedy && speculates;
  return stream_->Propose(drafter_ && proposes ? answer_.num_wanted() : 1);
}

void ScheduledStream::ScorePrompt(size_t num_rows) {
  std::vector<TokenScore>& scores = prompt_scores_;
  for (size_t row = 0; row < num_rows; ++row) {
    // The row after a token says how likely the next one was.
    const size_t next = num_read() - num_rows + row + 1;
    if (next != scores.size() + 1 || next >= request_.prompt.size()) continue;  // known, or not there
    scores.push_back(ScoreToken(session_->logits(row), request_.prompt[next], request_.num_top.value_or(0)));
  }
}

void ScheduledStream::Draw(size_t num_rows) {
  if (!session_->error().ok()) return End(FinishReason::kError, session_->error());
  if (has_read_ && request_.scores_prompt) ScorePrompt(num_rows);
  if (reads() || answer_.ended()) return;
  if (!stream_) {
    if (request_.speculation != Speculation::kOff) {
      drafter_ = std::make_unique<LookupDrafter>(engine_.max_context_tokens());
    }
    stream_.emplace(*session_, request_.sampling, drafter_.get(), kMostProposed);
    stream_->SetRule(request_.rule.get());
    if (request_.num_top) stream_->KeepScores(*request_.num_top);
  } else if (has_read_) {
    return;  // it was preempted, and has read again what it had drawn
  }
  has_drawn_ = stream_->Draw().ok();
}

void ScheduledStream::Take() {
  if (has_read_ && session_->error().ok()) {
    session_->Publish();
    if (!reads() && !std::exchange(has_told_prompt_, true)) observer_->OnPrompt(prompt_scores_);
  }
  if (!std::exchange(has_drawn_, false)) return;
  const std::span<const int32_t> tokens = stream_->Take().value();
  if (!first_token_) first_token_ = NowSeconds();
  const size_t num_added = answer_.Add(tokens);
  if (answer_.ended()) {
    stream_->DropLast(tokens.size() - num_added);
  } else if (session_->room() == 0) {
    answer_.End(FinishReason::kContextFull);
  }
  const std::span<const TokenScore> scores = stream_->scores();
  observer_->OnText(piece_, tokens.first(num_added), scores.first(std::min(num_added, scores.size())));
  piece_.clear();
}

void ScheduledStream::End(FinishReason reason, Status error) {
  ended_early_ = true;
  if (!answer_.ended()) answer_.End(reason, std::move(error));
}

void ScheduledStream::EndAtDeadline() {
  result_.passed_deadline = true;
  End(FinishReason::kCancelled);
}

const StreamResult& ScheduledStream::Finish() {
  const double now = NowSeconds();
  if (!piece_.empty()) observer_->OnText(piece_, {}, {});
  result_.finish_reason = answer_.finish_reason();
  result_.error = answer_.error();
  if (result_.finish_reason == FinishReason::kStopText) result_.stop_text = answer_.stop_text();
  result_.num_answer_tokens = answer_.tokens().size();
  if (stream_) result_.speculation = stream_->stats();
  const double begun = begun_ == 0 ? now : begun_, first = first_token_.value_or(now);
  result_.queue_seconds = begun - submitted_;
  result_.prompt_seconds = first - begun;
  result_.decode_seconds = now - first;
  if (session_ && session_->error().ok()) {
    // The store's error is that of the next request that reads or writes.
    if (const Status status = session_->RememberLater(); !status.ok()) result_.reuse.store = status;
  }
  observer_->OnEnd(result_);
  return result_;
}

}  // namespace qwen25

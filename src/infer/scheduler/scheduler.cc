#include "infer/scheduler/scheduler.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <utility>

#include "base/clock.h"

namespace qwen25 {
namespace {

// Streams up to which greedy answers speculate by themselves: proposals cost little while a pass is bound by
// reading the weights.
constexpr size_t kSpeculatingStreams = 2;

std::vector<double> SecondsBounds(double first, size_t count) {
  std::vector<double> bounds;
  // 1, 2.5, 5, 10, 25, ...
  constexpr double kSteps[] = {1, 2.5, 5};
  for (double scale = first; bounds.size() < count; scale *= 10) {
    for (const double step : kSteps) bounds.push_back(scale * step);
  }
  return bounds;
}

size_t BlocksOf(size_t num_tokens) {
  return (num_tokens + kBlockTokens - 1) / kBlockTokens;
}

}  // namespace

SchedulerStats::SchedulerStats()
    : queue_seconds(SecondsBounds(0.001, 15)),
      first_token_seconds(SecondsBounds(0.001, 15)),
      token_seconds(SecondsBounds(0.0001, 15)),
      step_seconds(SecondsBounds(0.0001, 15)) {}

Scheduler::Scheduler(InferenceEngine& engine, const Tokenizer& tokenizer, const Options& options)
    : engine_(engine), tokenizer_(tokenizer), options_(options), budget_(options.step_seconds) {
  QWEN25_CHECK(options.num_streams > 0 && options.step_seconds > 0);
  stats_.num_blocks = engine.blocks().max_blocks();
}

Scheduler::~Scheduler() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  mail_.notify_all();
  if (thread_.joinable()) thread_.join();
  while (DoNextJob()) continue;
  TakeMail();
  for (auto& [id, stream] : waiting_) running_.push_back(std::move(stream));
  for (auto& stream : running_) stream->End(FinishReason::kCancelled);
  while (!running_.empty()) {
    std::unique_ptr<ScheduledStream> stream = std::move(running_.back());
    running_.pop_back();
    Finish(std::move(stream));
  }
}

void Scheduler::Start() {
  QWEN25_CHECK(!thread_.joinable());
  thread_ = std::thread([this] { Run(); });
}

void Scheduler::Run() {
  while (true) {
    {
      std::unique_lock lock(mutex_);
      mail_.wait(lock, [&] {
        return stopping_ || !submitted_.empty() || !cancelled_.empty() || !jobs_.empty() ||
               !running_.empty() || !waiting_.empty();
      });
      if (stopping_) return;
    }
    Step();
  }
}

Status Scheduler::Check(const StreamRequest& request) const {
  QWEN25_RETURN_IF_ERROR(request.answer.Validate());
  QWEN25_RETURN_IF_ERROR(request.sampling.Validate());
  if (request.routing) QWEN25_RETURN_IF_ERROR(engine_.CheckRouting(*request.routing));
  if (request.adapters) QWEN25_RETURN_IF_ERROR(request.adapters->CheckFits(engine_.model().config()));
  if (request.prompt.empty()) return InvalidArgument("the prompt has no tokens");
  // The first token of the answer needs no room.
  if (request.prompt.size() > engine_.max_context_tokens()) {
    return InvalidArgument("the prompt has {} tokens, and the context holds {}; shorten it",
                           request.prompt.size(), engine_.max_context_tokens());
  }
  const auto vocabulary = static_cast<int64_t>(engine_.model().config().vocab_size);
  for (const int32_t token : request.prompt) {
    if (token < 0 || token >= vocabulary) {
      return InvalidArgument("the prompt has token {}, and the model's vocabulary has {}", token, vocabulary);
    }
  }
  for (const auto& [token, bias] : request.sampling.logit_bias) {
    if (token >= vocabulary) {
      return InvalidArgument("logit_bias names token {}, and the model's vocabulary has {}", token,
                             vocabulary);
    }
  }
  QWEN25_CHECK(!request.scores_prompt || request.num_top);
  return {};
}

Result<uint64_t> Scheduler::Submit(StreamRequest request, std::shared_ptr<StreamObserver> observer) {
  std::vector<Submission> submissions;
  submissions.push_back({std::move(request), std::move(observer)});
  QWEN25_TRY(const std::vector<uint64_t> ids, SubmitAll(std::move(submissions)));
  return ids.front();
}

Result<std::vector<uint64_t>> Scheduler::SubmitAll(std::vector<Submission> submissions) {
  for (const Submission& submission : submissions) QWEN25_RETURN_IF_ERROR(Check(submission.request));
  const size_t limit = options_.num_streams + options_.max_waiting;
  if (submissions.size() > limit) {
    return InvalidArgument("{} answers are asked for at once, and at most {} can wait", submissions.size(),
                           limit);
  }
  std::vector<uint64_t> ids;
  {
    const std::lock_guard lock(mutex_);
    if (num_open_ + submissions.size() > limit) {
      stats_.num_refused += submissions.size();
      return Status(StatusCode::kResourceExhausted,
                    fmt::format("{} requests wait already; try again later",
                                num_open_ - std::min(num_open_, options_.num_streams)));
    }
    num_open_ += submissions.size();
    for (Submission& submission : submissions) {
      ids.push_back(++last_id_);
      submitted_.push_back(
          {ids.back(), std::move(submission.request), std::move(submission.observer), NowSeconds()});
    }
  }
  mail_.notify_one();
  return ids;
}

void Scheduler::Cancel(uint64_t id) {
  {
    const std::lock_guard lock(mutex_);
    cancelled_.push_back(id);
  }
  mail_.notify_one();
}

void Scheduler::Do(std::function<void()> job) {
  {
    const std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
  }
  mail_.notify_one();
}

bool Scheduler::DoNextJob() {
  std::function<void()> job;
  {
    const std::lock_guard lock(mutex_);
    if (jobs_.empty()) return false;
    job = std::move(jobs_.front());
    jobs_.pop_front();
  }
  job();
  return true;
}

double Scheduler::RetryAfterSeconds() const {
  const std::lock_guard lock(mutex_);
  return mean_seconds_;
}

SchedulerStats Scheduler::stats() const {
  const std::lock_guard lock(mutex_);
  return stats_;
}

bool Scheduler::WaitUntilIdle(double deadline) {
  std::unique_lock lock(mutex_);
  return idle_.wait_for(lock, std::chrono::duration<double>(std::max(deadline - NowSeconds(), 0.0)),
                        [&] { return num_open_ == 0; });
}

void Scheduler::TakeMail() {
  std::vector<Submitted> submitted;
  std::vector<uint64_t> cancelled;
  {
    const std::lock_guard lock(mutex_);
    submitted.swap(submitted_);
    cancelled.swap(cancelled_);
  }
  for (Submitted& request : submitted) {
    queue_.Push({.id = request.id,
                 .client = request.request.client,
                 .priority = request.request.priority,
                 .cost = request.request.prompt.size()});
    waiting_[request.id] =
        std::make_unique<ScheduledStream>(request.id, engine_, tokenizer_, std::move(request.request),
                                          std::move(request.observer), request.time);
  }
  for (const uint64_t id : cancelled) {
    if (const auto found = waiting_.find(id); found != waiting_.end()) {
      found->second->End(FinishReason::kCancelled);
    }
    for (const auto& stream : running_) {
      if (stream->id() == id) stream->End(FinishReason::kCancelled);
    }
  }
}

bool Scheduler::HasRoom(size_t num_tokens) const {
  const BlockPool& blocks = engine_.blocks();
  // One block more for each stream: they grow.
  return running_.empty() ||
         blocks.num_used() + BlocksOf(num_tokens) + running_.size() + 1 <= blocks.max_blocks();
}

ScheduledStream* Scheduler::Victim(int priority) {
  ScheduledStream* victim = nullptr;
  for (const auto& stream : running_) {
    if (stream->request().priority >= priority) continue;
    // Later ones come last in `running_`.
    if (victim == nullptr || stream->request().priority <= victim->request().priority) victim = stream.get();
  }
  return victim;
}

void Scheduler::Preempt(ScheduledStream& stream) {
  const auto place = std::ranges::find(running_, &stream, &std::unique_ptr<ScheduledStream>::get);
  stream.Preempt();
  queue_.PushAgain(
      {.id = stream.id(), .client = stream.request().client, .priority = stream.request().priority});
  waiting_[stream.id()] = std::move(*place);
  running_.erase(place);
  const std::lock_guard lock(mutex_);
  ++stats_.num_preempted;
}

void Scheduler::Admit() {
  while (const std::optional<FairQueue::Entry> next = queue_.Next()) {
    std::unique_ptr<ScheduledStream>& waiting = waiting_.at(next->id);
    if (running_.size() >= options_.num_streams || !HasRoom(waiting->num_to_read())) {
      ScheduledStream* victim = Victim(next->priority);
      if (victim == nullptr) return;
      Preempt(*victim);
      continue;
    }
    queue_.Pop();
    std::unique_ptr<ScheduledStream> stream = std::move(waiting);
    waiting_.erase(next->id);
    const Status status = stream->Begin(running_);
    if (!status.ok()) stream->End(FinishReason::kError, status);
    // In the order of their numbers, also those that come back.
    const auto place =
        std::ranges::upper_bound(running_, stream->id(), {}, [](const auto& other) { return other->id(); });
    running_.insert(place, std::move(stream));
  }
}

void Scheduler::EndLateAndEnded() {
  const double now = NowSeconds();
  const auto is_late = [&](const ScheduledStream& stream) {
    return !stream.ended() && stream.request().deadline && *stream.request().deadline <= now;
  };
  std::vector<std::unique_ptr<ScheduledStream>> ended;
  for (auto at = waiting_.begin(); at != waiting_.end();) {
    if (is_late(*at->second)) at->second->EndAtDeadline();
    if (!at->second->ended()) {
      ++at;
      continue;
    }
    queue_.Remove(at->first);
    ended.push_back(std::move(at->second));
    at = waiting_.erase(at);
  }
  for (auto& stream : running_) {
    if (is_late(*stream)) stream->EndAtDeadline();
    if (stream->ended()) ended.push_back(std::move(stream));
  }
  std::erase(running_, nullptr);
  for (auto& stream : ended) Finish(std::move(stream));
}

void Scheduler::Finish(std::unique_ptr<ScheduledStream> stream) {
  const StreamResult& result = stream->Finish();
  const size_t num_tokens = result.num_answer_tokens;
  queue_.Charge(stream->request().client, num_tokens);
  const std::lock_guard lock(mutex_);
  ++stats_.num_ended[result.finish_reason];
  stats_.num_prompt_tokens += result.num_prompt_tokens;
  stats_.num_shared_tokens += result.reuse.shared;
  stats_.num_stored_tokens += result.reuse.stored;
  stats_.num_answer_tokens += num_tokens;
  stats_.num_proposed_tokens += result.speculation.num_proposed;
  stats_.num_accepted_tokens += result.speculation.num_accepted;
  stats_.queue_seconds.Add(result.queue_seconds);
  if (stream->first_token()) {
    stats_.first_token_seconds.Add(result.prompt_seconds);
    if (num_tokens > 1) {
      stats_.token_seconds.Add(result.decode_seconds / static_cast<double>(num_tokens - 1));
    }
    // Streams end at this pace, one after another.
    const double seconds = result.prompt_seconds + result.decode_seconds;
    mean_seconds_ += 0.1 * (seconds / static_cast<double>(options_.num_streams) - mean_seconds_);
  }
  if (--num_open_ == 0) idle_.notify_all();
}

void Scheduler::Plan(bool saves_memory) {
  const bool speculates = !saves_memory && running_.size() <= kSpeculatingStreams;
  parts_.clear();
  in_pass_.clear();
  num_decoded_ = num_prompt_ = 0;
  std::vector<ScheduledStream*> reading;
  std::vector<size_t> left;
  for (const auto& stream : running_) {
    if (stream->ended()) continue;
    if (stream->waits()) {
      const Status status = stream->Follow(running_);
      if (!status.ok()) stream->End(FinishReason::kError, status);
      if (!status.ok() || stream->waits()) continue;
    }
    if (stream->reads()) {
      reading.push_back(stream.get());
      left.push_back(stream->num_left());
      continue;
    }
    parts_.push_back(stream->NextDraw(speculates));
    in_pass_.push_back(stream.get());
    num_decoded_ += parts_.back().tokens.size();
  }
  const std::vector<size_t> shares = DivideBudget(left, reading.empty() ? 0 : budget_.NumTokens());
  for (size_t i = 0; i < reading.size(); ++i) {
    if (shares[i] == 0) continue;
    parts_.push_back(reading[i]->NextRead(shares[i]));
    in_pass_.push_back(reading[i]);
    num_prompt_ += parts_.back().tokens.size();
  }
}

bool Scheduler::Append() {
  bool saves_memory = false;
  while (true) {
    Plan(saves_memory);
    if (parts_.empty()) return false;
    const Status status = AppendTogether(engine_, parts_);
    // After an error of the pass, the other streams are as they should be.
    if (status.ok() || std::ranges::any_of(in_pass_, &ScheduledStream::failed)) return true;
    if (status.code() == StatusCode::kResourceExhausted) {
      if (!std::exchange(saves_memory, true)) continue;
      if (running_.size() > 1) {
        Preempt(*Victim(std::numeric_limits<int>::max()));
        continue;
      }
    }
    for (ScheduledStream* stream : in_pass_) stream->End(FinishReason::kError, status);
    return false;
  }
}

void Scheduler::Pass() {
  const double start = NowSeconds();
  if (!Append()) return;
  engine_.execution().threads.ParallelFor(
      in_pass_.size(), [&](size_t i, size_t) { in_pass_[i]->Draw(parts_[i].num_logit_rows); });
  for (ScheduledStream* stream : in_pass_) stream->Take();
  const double seconds = NowSeconds() - start;
  budget_.Observe(num_decoded_, num_prompt_, seconds);
  const std::lock_guard lock(mutex_);
  ++stats_.num_steps;
  stats_.step_seconds.Add(seconds);
}

bool Scheduler::Step() {
  DoNextJob();  // one a step, so that answers go on
  TakeMail();
  EndLateAndEnded();
  Admit();
  if (!running_.empty()) Pass();
  EndLateAndEnded();
  const std::lock_guard lock(mutex_);
  stats_.num_waiting = waiting_.size();
  stats_.num_running = running_.size();
  stats_.num_blocks_used = engine_.blocks().num_used();
  return num_open_ > 0 || !jobs_.empty();
}

}  // namespace qwen25

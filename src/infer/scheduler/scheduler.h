// Serves many requests at a time with one model: 16 streams in one forward pass per step.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/histogram.h"
#include "infer/engine.h"
#include "infer/scheduler/fair_queue.h"
#include "infer/scheduler/prompt_budget.h"
#include "infer/scheduler/scheduled_stream.h"
#include "infer/scheduler/stream_request.h"

namespace qwen25 {

struct SchedulerStats {
  size_t num_waiting = 0, num_running = 0;  // now
  size_t num_blocks_used = 0,
         num_blocks = 0;  // of keys and values; used: by streams
  // Since the start.
  std::map<FinishReason, uint64_t> num_ended;
  uint64_t num_refused = 0;  // since the queue was full
  uint64_t num_preempted = 0;
  uint64_t num_steps = 0;
  uint64_t num_prompt_tokens = 0;  // of requests that ended, with those that were known:
  uint64_t num_shared_tokens = 0, num_stored_tokens = 0;
  uint64_t num_answer_tokens = 0;
  uint64_t num_proposed_tokens = 0, num_accepted_tokens = 0;
  // Seconds: from the request to a stream, from there to the first token, between tokens (the mean of an
  // answer), and of steps.
  Histogram queue_seconds, first_token_seconds, token_seconds, step_seconds;

  SchedulerStats();
};

// Each step is one forward pass over what all streams need: the last token of those that draw, and pieces of
// the prompts of those that read, cut so that a step takes about the time that it may. Waiting requests get a
// stream in the order of FairQueue. If memory for keys and values runs out, or a request of a higher priority
// waits, the stream of the lowest priority that came last gives way, and later goes on where it was.
//
// The tokens of an answer depend on its request alone, to the bit: not on what else is served, and not on
// what of its prompt was known.
class Scheduler {
 public:
  struct Options {
    size_t num_streams = 16;     // served at a time, at least 1
    size_t max_waiting = 256;    // further requests are refused
    double step_seconds = 0.04;  // that a step with pieces of prompts may take, above 0
  };

  // `engine` and `tokenizer` must outlive the scheduler. Nobody else may use the engine between Start and the
  // destructor.
  Scheduler(InferenceEngine& engine, const Tokenizer& tokenizer, const Options& options);
  // Ends all requests (kCancelled).
  ~Scheduler();

  // Serves requests on a thread of its own from now on.
  void Start();

  // From any thread: takes a request and returns its number, which Cancel knows. The observer is called from
  // now on, unless there is an error. kInvalidArgument if the prompt is empty or too long or an option is
  // invalid; kResourceExhausted if max_waiting requests wait.
  Result<uint64_t> Submit(StreamRequest request, std::shared_ptr<StreamObserver> observer);
  // The same for several requests: all are taken, or none.
  struct Submission {
    StreamRequest request;
    std::shared_ptr<StreamObserver> observer;
  };
  Result<std::vector<uint64_t>> SubmitAll(std::vector<Submission> submissions);
  // From any thread: ends a request within one step (kCancelled). Does nothing if it has ended.
  void Cancel(uint64_t id);
  // From any thread: calls `job` between two steps, when the engine is free. It is called in any case, by the
  // destructor if need be.
  void Do(std::function<void()> job);
  // From any thread. Seconds until a request that is refused now may be taken, by the pace of the last ones.
  double RetryAfterSeconds() const;
  SchedulerStats stats() const;
  // From any thread: waits until all requests have ended, or until that time on the clock of NowSeconds().
  // False if it was the time. The caller sees to it that no new ones come.
  bool WaitUntilIdle(double deadline);

  // One step, for those who did not call Start. False if there is nothing to do.
  bool Step();

 private:
  struct Submitted {
    uint64_t id;
    StreamRequest request;
    std::shared_ptr<StreamObserver> observer;
    double time;
  };

  Status Check(const StreamRequest& request) const;
  void Run();
  void TakeMail();
  // Does the next job; false if there is none.
  bool DoNextJob();
  void Admit();
  // Whether a request of so many tokens would find room for its keys and values.
  bool HasRoom(size_t num_tokens) const;
  // The stream that gives way first; null if there is none of a priority below `priority`.
  ScheduledStream* Victim(int priority);
  void Preempt(ScheduledStream& stream);
  void EndLateAndEnded();
  // Chooses what the next pass appends.
  void Plan(bool saves_memory);
  // Appends it, with as many streams as find room. False if nothing was appended.
  bool Append();
  void Pass();
  void Finish(std::unique_ptr<ScheduledStream> stream);

  InferenceEngine& engine_;
  const Tokenizer& tokenizer_;
  const Options options_;

  // Of the serving thread.
  FairQueue queue_;
  std::map<uint64_t, std::unique_ptr<ScheduledStream>> waiting_;
  std::vector<std::unique_ptr<ScheduledStream>> running_;  // in the order in which they came
  PromptBudget budget_;
  std::vector<SessionTokens> parts_;         // of the pass
  std::vector<ScheduledStream*> in_pass_;    // the streams of these
  size_t num_decoded_ = 0, num_prompt_ = 0;  // tokens of the pass

  mutable std::mutex mutex_;
  std::condition_variable mail_, idle_;
  std::vector<Submitted> submitted_;
  std::vector<uint64_t> cancelled_;
  std::deque<std::function<void()>> jobs_;
  uint64_t last_id_ = 0;
  size_t num_open_ = 0;  // submitted and not ended
  bool stopping_ = false;
  SchedulerStats stats_;
  double mean_seconds_ = 1;  // of a request, for RetryAfterSeconds

  std::thread thread_;
};

}  // namespace qwen25

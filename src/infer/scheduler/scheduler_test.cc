#include "infer/scheduler/scheduler.h"

#include <rapidcheck.h>

#include <algorithm>
#include <future>
#include <set>

#include "base/clock.h"
#include "base/test_util.h"
#include "infer/generate.h"
#include "infer/tiny_model_test_util.h"
#include "model/adapter/adapter_test_util.h"

namespace qwen25 {
namespace {

constexpr size_t kVocabulary = 257;

Model RandomModel() {
  Model model(TinyConfig(kVocabulary, /*max_position_embeddings=*/2048));
  model.Initialize(3);
  for (float& weight : model.weights()) weight *= 8;
  return model;
}

// What an observer was told.
struct Told : StreamObserver {
  void OnPrompt(std::span<const TokenScore> of_prompt) override {
    ASSERT_TRUE(tokens.empty() && prompt_scores.empty());
    prompt_scores.assign(of_prompt.begin(), of_prompt.end());
  }
  void OnText(std::string_view piece, std::span<const int32_t> drawn,
              std::span<const TokenScore> drawn_scores) override {
    text += piece;
    tokens.insert(tokens.end(), drawn.begin(), drawn.end());
    scores.insert(scores.end(), drawn_scores.begin(), drawn_scores.end());
  }
  void OnEnd(const StreamResult& of_end) override {
    ASSERT_FALSE(result);
    result = of_end;
    end_number = ++num_ends;
  }

  static inline int num_ends = 0;
  std::string text;
  std::vector<int32_t> tokens;
  std::vector<TokenScore> scores, prompt_scores;
  std::optional<StreamResult> result;
  int end_number = 0;
};

class SchedulerTest : public testing::Test {
 protected:
  void Use(const InferenceEngine::Options& engine_options, const Scheduler::Options& options) {
    scheduler_.reset();
    engine_ = std::make_unique<InferenceEngine>(RandomModel(), engine_options);
    scheduler_ = std::make_unique<Scheduler>(*engine_, tokenizer_, options);
  }
  StreamRequest Request(size_t num_prompt_tokens, uint64_t seed, size_t num_answer_tokens = 8) const {
    StreamRequest request;
    request.prompt = RandomTokens(256, num_prompt_tokens, seed);
    request.answer.max_new_tokens = num_answer_tokens;
    request.sampling = {.temperature = 0.8f, .top_k = 0, .top_p = 0.95f, .seed = seed};
    return request;
  }
  std::shared_ptr<Told> Submit(StreamRequest request, uint64_t* id = nullptr) {
    auto told = std::make_shared<Told>();
    const uint64_t number = scheduler_->Submit(std::move(request), told).value();
    if (id != nullptr) *id = number;
    return told;
  }
  void RunToTheEnd() {
    for (int steps = 0; scheduler_->Step(); ++steps) ASSERT_LT(steps, 100000);
  }

  Tokenizer tokenizer_ = ByteTokenizer();
  std::unique_ptr<InferenceEngine> engine_;
  std::unique_ptr<Scheduler> scheduler_;
};

// Forbids one token.
class WithoutToken : public LogitsRule {
 public:
  explicit WithoutToken(int32_t token) : token_(static_cast<size_t>(token)) {}
  void Apply(std::span<float> logits) override { logits[token_] = -std::numeric_limits<float>::infinity(); }
  void Accept(int32_t token) override { accepted.push_back(token); }
  void Rollback(size_t count) override { accepted.resize(accepted.size() - count); }

  std::vector<int32_t> accepted;

 private:
  size_t token_;
};

// Prompts that begin alike, are long and short; all kinds of options.
StreamRequest AnyRequest(uint64_t number) {
  Rng rng(number);
  StreamRequest request;
  if (rng.Below(2) == 0) request.prompt = RandomTokens(256, 64 * (1 + rng.Below(3)), 7 + rng.Below(2));
  // A short alphabet repeats itself, so that lookups find something.
  const std::vector<int32_t> rest = RandomTokens(rng.Below(2) == 0 ? 256 : 3, 1 + rng.Below(120), number);
  request.prompt.insert(request.prompt.end(), rest.begin(), rest.end());
  request.answer.max_new_tokens = 1 + rng.Below(40);
  request.answer.stop_tokens = {256};
  if (rng.Below(4) == 0) request.answer.stop = {"a", "bc"};
  request.sampling = {
      .temperature = rng.Below(3) == 0 ? 0 : 1.0f, .top_k = 40, .top_p = 0.9f, .seed = number};
  if (rng.Below(4) == 0) request.sampling.frequency_penalty = 0.5f;
  if (rng.Below(4) == 0) request.sampling.logit_bias = {{5, 3.0f}, {256, -100.0f}};
  request.speculation = std::array{Speculation::kAuto, Speculation::kOn, Speculation::kOff}[rng.Below(3)];
  if (rng.Below(4) == 0) request.routing = RoutingPolicy::Parse("top_k:1,local=0,dense_below=0").value();
  if (rng.Below(3) == 0) request.num_top = static_cast<uint32_t>(rng.Below(4));
  request.scores_prompt = request.num_top && rng.Below(2) == 0;
  request.name_space = rng.Below(3) == 0 ? "other" : "default";
  request.client = std::string(1, static_cast<char>('a' + rng.Below(3)));
  request.priority = static_cast<int>(rng.Below(2));
  return request;
}

TEST_F(SchedulerTest, AnswersAreTheSameAloneAndUnderLoad) {
  constexpr uint64_t kRequests = 200;
  const InferenceEngine::Options small = {
      .num_threads = 2, .max_context_tokens = 512, .max_total_tokens = 1100, .keep_summaries = true};
  std::vector<std::shared_ptr<Told>> alone, together;
  for (uint64_t number = 0; number < kRequests; ++number) {
    if (number % 50 == 0)
      Use({.num_threads = 1, .max_context_tokens = 512, .keep_summaries = true}, {.num_streams = 1});
    alone.push_back(Submit(AnyRequest(number)));
    RunToTheEnd();
  }
  Use(small, {.num_streams = 16, .max_waiting = kRequests});
  for (uint64_t number = 0; number < kRequests; ++number) together.push_back(Submit(AnyRequest(number)));
  RunToTheEnd();
  size_t num_shared = 0, num_accepted = 0;
  for (size_t i = 0; i < kRequests; ++i) {
    SCOPED_TRACE(i);
    ASSERT_TRUE(together[i]->result && alone[i]->result);
    EXPECT_EQ(together[i]->tokens, alone[i]->tokens);
    EXPECT_EQ(together[i]->text, alone[i]->text);
    EXPECT_EQ(together[i]->result->finish_reason, alone[i]->result->finish_reason);
    ASSERT_EQ(together[i]->scores.size(), alone[i]->scores.size());
    for (size_t k = 0; k < alone[i]->scores.size(); ++k) {
      EXPECT_EQ(together[i]->scores[k].token, alone[i]->scores[k].token);
      EXPECT_EQ(together[i]->scores[k].top, alone[i]->scores[k].top);
    }
    ASSERT_EQ(together[i]->prompt_scores.size(), alone[i]->prompt_scores.size());
    for (size_t k = 0; k < alone[i]->prompt_scores.size(); ++k) {
      EXPECT_EQ(together[i]->prompt_scores[k].token, alone[i]->prompt_scores[k].token);
    }
    num_shared += together[i]->result->reuse.shared;
    num_accepted += together[i]->result->speculation.num_accepted;
  }
  // What this is about did happen.
  EXPECT_GT(num_shared, 1000u);
  EXPECT_GT(num_accepted, 0u);
  EXPECT_GT(scheduler_->stats().num_preempted, 0u);
}

TEST_F(SchedulerTest, AdaptersAreThoseOfTheRequestAloneAndUnderLoad) {
  constexpr uint64_t kRequests = 100;
  const ModelConfig config = RandomModel().config();
  const std::array<std::shared_ptr<const AdapterSet>, 4> adapters = {
      nullptr, RandomAdapters(config, 4, 1), std::make_shared<AdapterSet>(), RandomAdapters(config, 3, 2)};
  const auto submit_all = [&](size_t num_streams) {
    Use({.num_threads = 2, .max_context_tokens = 512, .max_total_tokens = 1100, .keep_summaries = true},
        {.num_streams = num_streams, .max_waiting = kRequests});
    std::vector<std::shared_ptr<Told>> told;
    for (uint64_t number = 0; number < kRequests; ++number) {
      StreamRequest request = AnyRequest(number);
      request.adapters = adapters[number % adapters.size()];
      told.push_back(Submit(std::move(request)));
      if (num_streams == 1) RunToTheEnd();
    }
    RunToTheEnd();
    return told;
  };
  const auto alone = submit_all(1), together = submit_all(16);
  size_t num_shared = 0, num_changed = 0;
  for (uint64_t number = 0; number < kRequests; ++number) {
    EXPECT_EQ(together[number]->tokens, alone[number]->tokens) << number;
    num_shared += together[number]->result->reuse.shared;
  }
  EXPECT_GT(num_shared, 500u);
  EXPECT_GT(scheduler_->stats().num_preempted, 0u);
  Use({.num_threads = 2, .max_context_tokens = 512, .keep_summaries = true}, {.num_streams = 1});
  for (uint64_t number = 0; number < kRequests; ++number) {
    const auto without = Submit(AnyRequest(number));
    RunToTheEnd();
    if (number % 2 == 0) {
      EXPECT_EQ(without->tokens, alone[number]->tokens) << number;
    }
    num_changed += without->tokens != alone[number]->tokens;
  }
  EXPECT_GT(num_changed, kRequests / 4);
}

TEST_F(SchedulerTest, AnswersAreThoseOfGenerate) {
  Use({.num_threads = 2, .max_context_tokens = 512}, {});
  std::vector<std::shared_ptr<Told>> told;
  for (uint64_t seed = 0; seed < 20; ++seed) told.push_back(Submit(Request(1 + 9 * seed, seed, 20)));
  RunToTheEnd();
  scheduler_.reset();
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const StreamRequest request = Request(1 + 9 * seed, seed, 20);
    Session session(*engine_, "alone");
    GenerateOptions options;
    options.sampling = request.sampling;
    options.max_new_tokens = 20;
    ASSERT_OK_AND_ASSIGN(const GenerateResult result, Generate(session, tokenizer_, request.prompt, options));
    EXPECT_EQ(told[seed]->tokens, result.tokens);
    EXPECT_EQ(told[seed]->text, result.text);
  }
}

TEST_F(SchedulerTest, ScoresOfAPromptAreThoseOfItsTokens) {
  Use({.num_threads = 1, .max_context_tokens = 512}, {});
  StreamRequest request = Request(150, 1, 0);
  request.num_top = 2;
  request.scores_prompt = true;
  const auto told = Submit(request);
  RunToTheEnd();
  EXPECT_EQ(told->result->num_answer_tokens, 0u);
  ASSERT_EQ(told->prompt_scores.size(), 149u);
  scheduler_.reset();
  Session session(*engine_);
  for (size_t i = 0; i + 1 < request.prompt.size(); ++i) {
    ASSERT_OK(session.Append({&request.prompt[i], 1}));
    const TokenScore score = ScoreToken(session.logits(), request.prompt[i + 1], 2);
    EXPECT_EQ(told->prompt_scores[i].token, score.token);
    EXPECT_EQ(told->prompt_scores[i].top, score.top);
  }
}

TEST_F(SchedulerTest, APromptThatIsBeingReadIsSharedAsItGrows) {
  Use({.num_threads = 1, .max_context_tokens = 2048, .max_total_tokens = 8192}, {.step_seconds = 1e-9});
  std::vector<std::shared_ptr<Told>> told = {Submit(Request(1000, 1))};
  scheduler_->Step();
  for (int i = 0; i < 3; ++i) told.push_back(Submit(Request(1000, 1)));
  RunToTheEnd();
  for (size_t i = 1; i < told.size(); ++i) {
    EXPECT_EQ(told[i]->result->reuse.shared, 960u);
    EXPECT_EQ(told[i]->tokens, told[0]->tokens);
  }
}

TEST_F(SchedulerTest, WhoFollowsAPromptThatGoesAwayReadsItself) {
  Use({.num_threads = 1, .max_context_tokens = 2048, .max_total_tokens = 8192}, {.step_seconds = 1e-9});
  uint64_t first_id = 0;
  const auto first = Submit(Request(1000, 1), &first_id);
  scheduler_->Step();
  const auto second = Submit(Request(1000, 1));
  for (int i = 0; i < 5; ++i) scheduler_->Step();
  scheduler_->Cancel(first_id);
  RunToTheEnd();
  EXPECT_EQ(first->result->finish_reason, FinishReason::kCancelled);
  EXPECT_EQ(second->result->finish_reason, FinishReason::kLength);
  EXPECT_EQ(second->tokens.size(), 8u);
}

TEST_F(SchedulerTest, LongPromptsDoNotStopOthers) {
  Use({.num_threads = 1, .max_context_tokens = 2048, .max_total_tokens = 16384}, {.step_seconds = 1e-9});
  const auto drawing = Submit(Request(10, 1, 50));
  scheduler_->Step();
  ASSERT_EQ(drawing->tokens.size(), 1u);
  const auto long_one = Submit(Request(1500, 2, 1));
  const auto short_one = Submit(Request(20, 3, 1));
  for (size_t step = 2; step <= 5; ++step) {
    scheduler_->Step();
    EXPECT_EQ(drawing->tokens.size(), step);  // a token in every step
  }
  EXPECT_TRUE(short_one->result);
  EXPECT_FALSE(long_one->result);
  RunToTheEnd();
  EXPECT_TRUE(long_one->result);
}

TEST_F(SchedulerTest, CancellingFreesTheStreamWithinAStep) {
  Use({.num_threads = 1, .max_context_tokens = 512}, {.num_streams = 1});
  uint64_t running = 0, waiting = 0;
  const auto first = Submit(Request(200, 1, 300), &running);
  const auto second = Submit(Request(10, 2), &waiting);
  const auto third = Submit(Request(10, 3));
  for (int i = 0; i < 5; ++i) scheduler_->Step();
  EXPECT_FALSE(first->result || second->result);
  const size_t num_used = scheduler_->stats().num_blocks_used;
  EXPECT_GT(num_used, 0u);
  scheduler_->Cancel(running);
  scheduler_->Cancel(waiting);
  scheduler_->Cancel(12345);
  scheduler_->Step();
  EXPECT_EQ(first->result->finish_reason, FinishReason::kCancelled);
  EXPECT_EQ(second->result->finish_reason, FinishReason::kCancelled);
  EXPECT_EQ(scheduler_->stats().num_running, 1u);
  EXPECT_EQ(third->tokens.size(), 1u);
  RunToTheEnd();
  EXPECT_EQ(third->result->finish_reason, FinishReason::kLength);
  EXPECT_EQ(engine_->blocks().num_used(), 0u);
}

TEST_F(SchedulerTest, DeadlinesEndAnswers) {
  Use({.num_threads = 1, .max_context_tokens = 512}, {.num_streams = 1});
  StreamRequest request = Request(10, 1, 400);
  request.deadline = NowSeconds() + 3600;
  const auto in_time = Submit(request);
  StreamRequest late = Request(10, 2);
  late.deadline = NowSeconds();
  const auto too_late = Submit(late);
  scheduler_->Step();
  EXPECT_FALSE(in_time->result);
  ASSERT_TRUE(too_late->result);
  EXPECT_TRUE(too_late->result->passed_deadline);
  EXPECT_EQ(too_late->result->finish_reason, FinishReason::kCancelled);
}

TEST_F(SchedulerTest, HigherPrioritiesTakeThePlaceOfLowerOnes) {
  Use({.num_threads = 1, .max_context_tokens = 512, .max_total_tokens = 4096}, {.num_streams = 2});
  const auto first = Submit(Request(100, 1, 60)), second = Submit(Request(100, 2, 60));
  for (int i = 0; i < 10; ++i) scheduler_->Step();
  StreamRequest urgent = Request(50, 3, 5);
  urgent.priority = 1;
  const auto urgent_told = Submit(urgent);
  for (int i = 0; i < 6; ++i) scheduler_->Step();
  EXPECT_TRUE(urgent_told->result);
  EXPECT_EQ(scheduler_->stats().num_preempted, 1u);
  RunToTheEnd();
  const std::vector<int32_t> of_first = first->tokens, of_second = second->tokens;
  EXPECT_LT(first->end_number, second->end_number);  // the one that came last gave way
  Use({.num_threads = 1, .max_context_tokens = 512}, {});
  const auto first_alone = Submit(Request(100, 1, 60)), second_alone = Submit(Request(100, 2, 60));
  RunToTheEnd();
  EXPECT_EQ(of_first, first_alone->tokens);
  EXPECT_EQ(of_second, second_alone->tokens);
}

TEST_F(SchedulerTest, AFullQueueRefuses) {
  Use({.num_threads = 1, .max_context_tokens = 512}, {.num_streams = 1, .max_waiting = 2});
  for (uint64_t i = 0; i < 3; ++i) Submit(Request(10, i));
  const auto told = std::make_shared<Told>();
  EXPECT_ERROR_CONTAINS(scheduler_->Submit(Request(10, 9), told), "2 requests wait already");
  EXPECT_GT(scheduler_->RetryAfterSeconds(), 0);
  // All or none.
  scheduler_->Step();
  std::vector<Scheduler::Submission> two;
  for (uint64_t i = 0; i < 2; ++i) two.push_back({Request(10, i), told});
  RunToTheEnd();
  for (uint64_t i = 0; i < 2; ++i) Submit(Request(10, i));
  EXPECT_ERROR_CONTAINS(scheduler_->SubmitAll(std::move(two)), "1 requests wait already");
  RunToTheEnd();
  EXPECT_FALSE(told->result);
  EXPECT_EQ(scheduler_->stats().num_refused, 3u);
  RunToTheEnd();
  EXPECT_EQ(scheduler_->stats().num_ended.at(FinishReason::kLength), 5u);
}

TEST_F(SchedulerTest, InvalidRequestsAreRefused) {
  Use({.num_threads = 1, .max_context_tokens = 512}, {});
  const auto refused = [&](StreamRequest request, const std::string& why) {
    EXPECT_ERROR_CONTAINS(scheduler_->Submit(std::move(request), std::make_shared<Told>()), why);
  };
  refused(Request(0, 1), "no tokens");
  refused(Request(513, 1), "513 tokens, and the context holds 512");
  StreamRequest request = Request(5, 1);
  request.prompt[2] = 257;
  refused(request, "token 257");
  request = Request(5, 1);
  request.sampling.logit_bias = {{257, 1}};
  refused(request, "logit_bias names token 257");
  request = Request(5, 1);
  request.sampling.presence_penalty = 3;
  refused(request, "presence_penalty is 3");
  request = Request(5, 1);
  request.routing = RoutingPolicy::Parse("top_k:4").value();
  refused(request, "summaries");
  request = Request(5, 1);
  request.adapters = RandomAdapters(TinyConfig(), 2, 1);
  refused(request, "of another shape");
  EXPECT_FALSE(scheduler_->Step());
}

TEST_F(SchedulerTest, AFullContextEndsTheAnswer) {
  Use({.num_threads = 1, .max_context_tokens = 128}, {});
  const auto full = Submit(Request(128, 1, 50)), nearly = Submit(Request(120, 2, 50));
  RunToTheEnd();
  EXPECT_EQ(full->result->finish_reason, FinishReason::kContextFull);
  EXPECT_EQ(full->tokens.size(), 1u);
  EXPECT_EQ(nearly->tokens.size(), 9u);
}

TEST_F(SchedulerTest, RulesHoldWithAndWithoutProposals) {
  Use({.num_threads = 1, .max_context_tokens = 512}, {});
  for (const Speculation speculation : {Speculation::kOff, Speculation::kOn}) {
    StreamRequest request = Request(60, 1, 60);
    for (int32_t& token : request.prompt) token %= 3;
    request.sampling.temperature = 0;
    request.speculation = speculation;
    const auto free = Submit(request);
    RunToTheEnd();
    const int32_t forbidden = free->tokens[10];
    const auto rule = std::make_shared<WithoutToken>(forbidden);
    request.rule = rule;
    const auto bound = Submit(request);
    RunToTheEnd();
    EXPECT_EQ(std::ranges::count(bound->tokens, forbidden), 0);
    EXPECT_EQ(bound->tokens.size(), 60u);
    EXPECT_EQ(rule->accepted, bound->tokens);
  }
}

TEST_F(SchedulerTest, OnePassThatFailsEndsOnlyItsStream) {
  ModelConfig config = TinyConfig(kVocabulary);
  config.tie_word_embeddings = false;  // the output must not hold the number
  Model model(config);
  model.Initialize(1);
  // Token 200 makes the numbers of its own sequence overflow.
  model.embed_tokens.data[200 * config.hidden_size] = std::numeric_limits<float>::infinity();
  engine_ = std::make_unique<InferenceEngine>(std::move(model),
                                              InferenceEngine::Options{.max_context_tokens = 512});
  scheduler_ = std::make_unique<Scheduler>(*engine_, tokenizer_, Scheduler::Options());
  StreamRequest bad = Request(10, 1), good = Request(10, 2);
  for (int32_t& token : good.prompt) token %= 100;
  bad.prompt[5] = 200;
  good.sampling.logit_bias = {{200, -1000}};
  const auto bad_told = Submit(bad), good_told = Submit(good);
  RunToTheEnd();
  EXPECT_EQ(bad_told->result->finish_reason, FinishReason::kError);
  EXPECT_EQ(bad_told->result->error.code(), StatusCode::kCorrupt);
  EXPECT_EQ(good_told->result->finish_reason, FinishReason::kLength);
}

TEST_F(SchedulerTest, JobsRunBetweenStepsAndInAnyCase) {
  Use({.num_threads = 1, .max_context_tokens = 512}, {});
  const auto told = Submit(Request(10, 1, 5));
  int num_done = 0;
  for (int i = 0; i < 3; ++i) scheduler_->Do([&] { ++num_done; });
  scheduler_->Step();
  EXPECT_EQ(num_done, 1);
  EXPECT_EQ(told->tokens.size(), 1u);
  scheduler_.reset();
  EXPECT_EQ(num_done, 3);
}

TEST_F(SchedulerTest, ItsOwnThreadServesAndStops) {
  Use({.num_threads = 2, .max_context_tokens = 512}, {.num_streams = 4});
  scheduler_->Start();
  std::vector<std::shared_ptr<Told>> told;
  for (uint64_t seed = 0; seed < 10; ++seed) told.push_back(Submit(Request(20, seed)));
  EXPECT_TRUE(scheduler_->WaitUntilIdle(NowSeconds() + 60));
  for (const auto& one : told) EXPECT_EQ(one->result->finish_reason, FinishReason::kLength);
  // What is not done when the scheduler goes away is told so.
  for (uint64_t seed = 0; seed < 10; ++seed) told.push_back(Submit(Request(20, seed, 450)));
  EXPECT_FALSE(scheduler_->WaitUntilIdle(NowSeconds()));
  scheduler_.reset();
  EXPECT_EQ(told.back()->result->finish_reason, FinishReason::kCancelled);
}

}  // namespace
}  // namespace qwen25

#include "infer/token_stream.h"

#include <rapidcheck.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <memory>

#include "base/rng.h"
#include "base/test_util.h"
#include "infer/generate.h"
#include "infer/tiny_model_test_util.h"

namespace qwen25 {
namespace {

constexpr size_t kVocabulary = 12;

// Weights of seed 3, and of another model near it where `difference` is above 0.
Model RandomModel(double difference = 0, size_t vocabulary = kVocabulary) {
  Model model(TinyConfig(vocabulary));
  model.Initialize(3);
  Rng rng(5);
  for (float& weight : model.weights()) {
    weight = static_cast<float>(8 * weight + difference * rng.Normal());
  }
  return model;
}

// Always proposes `count` tokens: either the same token each time, or draws from a distribution that is not
// the model's, in which this token has probability 1/2, the first few tokens 0, and all others the same.
class FixedDrafter : public Drafter {
 public:
  FixedDrafter(size_t count, int32_t token, bool certain, uint64_t seed)
      : count_(count), token_(token), certain_(certain), sampler_({.seed = seed}, kVocabulary) {
    for (int32_t id = 3; id < static_cast<int32_t>(kVocabulary); ++id) {
      if (id != token) distribution_.push_back({id, 0});
    }
    for (TokenProbability& other : distribution_) {
      other.probability = 0.5 / static_cast<double>(distribution_.size());
    }
    distribution_.push_back({token, 0.5});
  }

  Status Start(std::span<const int32_t>, const Session::Progress&) override { return {}; }
  void Propose(std::span<const int32_t>, size_t limit, Draft& draft) override {
    draft.certain = certain_;
    draft.tokens.assign(std::min(count_, limit), token_);
    draft.distributions.assign(draft.tokens.size(), distribution_);
    if (certain_) return;
    for (int32_t& token : draft.tokens) token = sampler_.Draw(distribution_);
  }
  void Observe(std::span<const int32_t>) override {}

 private:
  const size_t count_;
  const int32_t token_;
  const bool certain_;
  Sampler sampler_;
  std::vector<TokenProbability> distribution_;
};

// Pearson's statistic of counts against probabilities: about the degrees of freedom, cells - 1, if the counts
// are drawn from them.
double ChiSquare(const std::vector<double>& counts, const std::vector<double>& chances) {
  double total = 0, sum = 0;
  for (const double count : counts) total += count;
  for (size_t i = 0; i < counts.size(); ++i) {
    sum += std::pow(counts[i] - total * chances[i], 2) / (total * chances[i]);
  }
  return sum;
}

TEST(BestDraftLengthTest, PaysOrIsZero) {
  EXPECT_TRUE(rc::check("no other length gives more tokens per cost", [] {
    const double a = *rc::gen::inRange(0, 101) / 100.0, pass = *rc::gen::inRange(0, 50) / 100.0,
                 token = *rc::gen::inRange(1, 50) / 100.0;
    const auto limit = *rc::gen::inRange<size_t>(0, 20);
    const auto rate = [&](size_t k) {
      double expected = 0;
      for (size_t i = 0; i <= k; ++i) expected += std::pow(a, i);
      return expected / (k == 0 ? 1 : 1 + pass + static_cast<double>(k) * token);
    };
    const size_t best = BestDraftLength(a, pass, token, limit);
    RC_ASSERT(best <= limit);
    for (size_t k = 0; k <= limit; ++k) RC_ASSERT(rate(k) <= rate(best) + 1e-12);
  }));
  EXPECT_EQ(BestDraftLength(0.1, 0.1, 0.05, 16), 0u);
  EXPECT_EQ(BestDraftLength(1.0, 0.1, 0.05, 16), 16u);
}

TEST(LookupDrafterTest, ProposesWhatFollowedTheLongestThenTheLatestMatch) {
  LookupDrafter drafter(100);
  Draft draft;
  // "1 2 3 4" occurred twice, but "9 1 2 3 4" only the first time.
  drafter.Propose(std::vector<int32_t>{9, 1, 2, 3, 4, 5, 6, 0, 1, 2, 3, 4, 7, 8, 9, 1, 2, 3, 4}, 2, draft);
  EXPECT_EQ(draft.tokens, (std::vector<int32_t>{5, 6}));
  drafter.Propose(std::vector<int32_t>{0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 3, 4, 7, 8, 9, 1, 2, 3, 4}, 2, draft);
  EXPECT_EQ(draft.tokens, (std::vector<int32_t>{7, 8}));
  // A repetition goes on after the end of the context.
  drafter.Propose(std::vector<int32_t>{4, 5, 6, 4, 5, 6, 4, 5, 6}, 5, draft);
  ASSERT_GE(draft.tokens.size(), 4u);
  for (size_t i = 0; i < draft.tokens.size(); ++i) EXPECT_EQ(draft.tokens[i], std::vector({4, 5, 6})[i % 3]);
  drafter.Propose(std::vector<int32_t>{1, 2, 3, 4}, 5, draft);
  EXPECT_TRUE(draft.tokens.empty());
}

TEST(LookupDrafterTest, FallsSilentWhereItIsWrongAndStartsAgain) {
  LookupDrafter drafter(100);
  Draft draft;
  Rng rng(1);
  std::vector<int32_t> context;
  size_t late = 0;
  const auto step = [&](int32_t next) {
    if (!context.empty()) {
      drafter.Propose(context, 8, draft);
      drafter.Observe({&next, 1});
    }
    context.push_back(next);
  };
  for (int i = 0; i < 2000; ++i) {
    step(static_cast<int32_t>(rng.Below(16)));  // every short match has been there, and means nothing
    late += i >= 1500 ? draft.tokens.size() : 0;
  }
  EXPECT_LT(late, 60u);  // of 500 steps: chance hits wake it now and then
  for (int i = 0; i < 300; ++i) step(100 + i % 30);
  EXPECT_EQ(draft.tokens.size(), 8u);
}

// The first `count` tokens of a stream, or as many as the context takes; requests `more` beyond them.
std::vector<int32_t> Take(TokenStream& stream, size_t count, size_t more = 0) {
  std::vector<int32_t> tokens;
  while (true) {
    const auto taken = stream.Take();
    QWEN25_CHECK(taken.ok());
    tokens.insert(tokens.end(), taken->begin(), taken->end());
    if (tokens.size() >= count || !AppendProposal(stream, count + more - tokens.size()).ok()) break;
  }
  tokens.resize(std::min(tokens.size(), count));
  return tokens;
}

class SpeculationTest : public testing::Test {
 protected:
  std::vector<int32_t> Plain(const std::vector<int32_t>& prompt, const SamplingOptions& sampling,
                             size_t count) {
    return Run(engine_, prompt, sampling, nullptr, count);
  }
  std::vector<int32_t> Run(InferenceEngine& engine, const std::vector<int32_t>& prompt,
                           const SamplingOptions& sampling, Drafter* drafter, size_t count) {
    Session session(engine);
    QWEN25_CHECK(session.Append(prompt).ok());
    TokenStream stream(session, sampling, drafter, 8);
    const std::vector<int32_t> tokens = Take(stream, count);
    stats_ = stream.stats();
    return tokens;
  }

  InferenceEngine engine_{RandomModel(), {.num_threads = 1}};
  SamplingOptions greedy_ = {.temperature = 0};
  SpeculationStats stats_;
};

TEST_F(SpeculationTest, GreedyTokensAreThoseOfPlainDecoding) {
  InferenceEngine near(RandomModel(0.02), {.num_threads = 1}), same(RandomModel(), {.num_threads = 1});
  size_t accepted_by_lookup = 0, accepted_by_near = 0;
  EXPECT_TRUE(rc::check("with every drafter", [&] {
    const auto prompt = *rc::gen::nonEmpty(rc::gen::container<std::vector<int32_t>>(
        rc::gen::inRange<int32_t>(0, static_cast<int32_t>(kVocabulary))));
    const auto count = *rc::gen::inRange<size_t>(1, 100);
    SamplingOptions sampling = greedy_;
    if (*rc::gen::arbitrary<bool>()) sampling.repetition_penalty = 1.2f;
    const std::vector<int32_t> expected = Plain(prompt, sampling, count);
    LookupDrafter lookup(256);
    RC_ASSERT(Run(engine_, prompt, sampling, &lookup, count) == expected);
    accepted_by_lookup += stats_.num_accepted;
    FixedDrafter fixed(5, 7, false, 1);
    RC_ASSERT(Run(engine_, prompt, sampling, &fixed, count) == expected);
    ModelDrafter by_near(near, sampling, kVocabulary, 0.1), by_itself(same, sampling, kVocabulary, 0.1);
    RC_ASSERT(Run(engine_, prompt, sampling, &by_near, count) == expected);
    accepted_by_near += stats_.num_accepted;
    RC_ASSERT(Run(engine_, prompt, sampling, &by_itself, count) == expected);
    RC_ASSERT(stats_.num_accepted == stats_.num_proposed);
    RC_ASSERT(count < 20 || stats_.num_passes < count / 2);
  }));
  EXPECT_GT(accepted_by_lookup, 100u);
  EXPECT_GT(accepted_by_near, 100u);
}

// At the end of the context there is no room for proposals; the last token is the same.
TEST_F(SpeculationTest, TheContextFillsToItsLastToken) {
  const std::vector<int32_t> prompt = {1, 2, 3, 1, 2, 3, 1, 2};
  const std::vector<int32_t> expected = Plain(prompt, greedy_, 1000);
  ASSERT_EQ(expected.size(), 256 - prompt.size() + 1);
  LookupDrafter lookup(256);
  InferenceEngine same(RandomModel(), {.num_threads = 1});
  ModelDrafter model(same, greedy_, kVocabulary, 0.1);
  for (Drafter* drafter : std::initializer_list<Drafter*>{&lookup, &model}) {
    EXPECT_EQ(Run(engine_, prompt, greedy_, drafter, 1000), expected);
  }
}

// Draws of one token against its distribution, for certain, likely, unlikely and impossible proposals.
TEST(DraftVerifierTest, TheResultHasTheModelsDistribution) {
  const std::vector<TokenProbability> p = {{2, 0.5}, {0, 0.3}, {3, 0.15}, {5, 0.05}};
  const std::vector<double> chances = {0.3, 0.5, 0.15, 0.05};  // of 0, 2, 3, 5
  const std::vector<std::vector<TokenProbability>> proposals = {
      {},                                          // certain
      {{0, 0.3}, {2, 0.5}, {3, 0.15}, {5, 0.05}},  // the same
      {{5, 0.7}, {2, 0.2}, {1, 0.1}},              // likely where p is not, and a token that p excludes
      {{4, 1.0}}};
  SamplingOptions options;
  options.seed = 9;
  Sampler sampler(options, 6);
  DraftVerifier verifier(6);
  for (const auto& q : proposals) {
    std::map<int32_t, double> counts;
    for (int i = 0; i < 20000; ++i) {
      const int32_t draft = q.empty() ? 3 : sampler.Draw(q);
      ++counts[verifier.Verify(sampler, p, draft, q)];
    }
    ASSERT_EQ(counts.size(), 4u);
    // The 0.999 quantile with 3 degrees of freedom.
    EXPECT_LT(ChiSquare({counts[0], counts[2], counts[3], counts[5]}, chances), 16.3) << q.size();
  }
}

// Three tokens by speculation, drawn many times, against the exact probabilities of all triples.
class DistributionTest : public SpeculationTest {
 protected:
  // Probabilities of each first, second and third token, from the sampler along every path.
  std::map<std::vector<int32_t>, double> Exact(const std::vector<int32_t>& prompt,
                                               const SamplingOptions& sampling) {
    std::map<std::vector<int32_t>, double> chances = {{{}, 1.0}};
    Sampler sampler(sampling, kVocabulary);
    for (int depth = 0; depth < 3; ++depth) {
      std::map<std::vector<int32_t>, double> longer;
      for (const auto& [path, chance] : chances) {
        Session session(engine_);
        std::vector<int32_t> tokens = prompt;
        tokens.insert(tokens.end(), path.begin(), path.end());
        QWEN25_CHECK(session.Append(tokens).ok());
        for (const TokenProbability& next : sampler.Distribution(session.logits(), session.tokens())) {
          std::vector<int32_t> extended = path;
          extended.push_back(next.id);
          longer[extended] = chance * next.probability;
        }
      }
      chances = std::move(longer);
    }
    return chances;
  }

  // The most likely first token.
  int32_t Favourite(const SamplingOptions& sampling) {
    std::array<double, kVocabulary> chances = {};
    for (const auto& [triple, chance] : Exact(prompt_, sampling)) {
      chances[static_cast<size_t>(triple[0])] += chance;
    }
    return static_cast<int32_t>(std::ranges::max_element(chances) - chances.begin());
  }

  // The statistic over triples (those expected less than five times share one cell), divided by its bound,
  // the 0.999 quantile of the chi-square distribution by Wilson and Hilferty's approximation. Above 1:
  // another distribution.
  template <typename MakeDrafter>
  double Statistic(const SamplingOptions& base, const MakeDrafter& make_drafter) {
    constexpr size_t kDraws = 4000;
    const auto exact = Exact(prompt_, base);
    std::map<std::vector<int32_t>, double> counts;
    Session session(engine_);
    size_t num_accepted = 0, num_proposed = 0;
    for (uint64_t seed = 0; seed < kDraws; ++seed) {
      SamplingOptions sampling = base;
      sampling.seed = seed;
      QWEN25_CHECK(session.HoldExactly(prompt_).ok());
      const std::unique_ptr<Drafter> drafter = make_drafter(sampling);
      TokenStream stream(session, sampling, drafter.get(), 8);
      const std::vector<int32_t> triple = Take(stream, 3, 3);  // as if more were wanted
      EXPECT_TRUE(exact.contains(triple));
      ++counts[triple];
      num_accepted += stream.stats().num_accepted;
      num_proposed += stream.stats().num_proposed;
    }
    EXPECT_GT(num_accepted, kDraws / 20);
    EXPECT_LT(num_accepted, num_proposed);
    std::vector<double> cells = {0}, chances = {0};
    for (const auto& [triple, chance] : exact) {
      if (chance * kDraws < 5) {
        cells[0] += counts[triple];
        chances[0] += chance;
      } else {
        cells.push_back(counts[triple]);
        chances.push_back(chance);
      }
    }
    if (chances[0] * kDraws < 5) {
      cells[1] += cells[0];
      chances[1] += chances[0];
      cells.erase(cells.begin());
      chances.erase(chances.begin());
    }
    EXPECT_GT(cells.size(), 6u);
    const double freedom = static_cast<double>(cells.size() - 1);
    const double bound = freedom * std::pow(1 - 2 / (9 * freedom) + 3.09 * std::sqrt(2 / (9 * freedom)), 3);
    return ChiSquare(cells, chances) / bound;
  }

  const std::vector<int32_t> prompt_ = {4, 9, 2, 4, 9};

  std::vector<SamplingOptions> Chains() const {
    SamplingOptions plain = {.temperature = 1, .top_k = 0, .top_p = 1};
    SamplingOptions filtered = {.temperature = 1.3f, .top_k = 6, .top_p = 0.95f, .min_p = 0.02f};
    filtered.repetition_penalty = 1.3f;
    return {plain, filtered};
  }
};

TEST_F(DistributionTest, ProposalsOfAnyKindLeaveItUnchanged) {
  for (const SamplingOptions& sampling : Chains()) {
    const int32_t favourite = Favourite(sampling);
    for (const bool certain : {true, false}) {
      EXPECT_LT(Statistic(sampling,
                          [&](const SamplingOptions& options) {
                            return std::make_unique<FixedDrafter>(3, favourite, certain, ~options.seed);
                          }),
                1)
          << "certain " << certain << ", temperature " << sampling.temperature;
    }
  }
}

TEST_F(DistributionTest, ADraftModelLeavesItUnchanged) {
  InferenceEngine near(RandomModel(0.05), {.num_threads = 1});
  for (const SamplingOptions& sampling : Chains()) {
    EXPECT_LT(Statistic(sampling,
                        [&](const SamplingOptions& options) {
                          return std::make_unique<ModelDrafter>(near, options, kVocabulary, 0.1);
                        }),
              1)
        << "temperature " << sampling.temperature;
  }
}

// A draft model with more rows than the target (padding differs between official sizes) proposes none of the
// extra ids.
TEST_F(DistributionTest, IdsThatTheTargetDoesNotHaveAreNotProposed) {
  InferenceEngine wider(RandomModel(0, kVocabulary + 8), {.num_threads = 1});
  const SamplingOptions sampling = {.temperature = 1.5f, .top_k = 0, .top_p = 1};
  ModelDrafter drafter(wider, sampling, kVocabulary, 0.1);
  EXPECT_EQ(Run(engine_, {1, 2, 3}, sampling, &drafter, 200).size(), 200u);
  EXPECT_GT(stats_.num_proposed, 50u);
}

TEST_F(SpeculationTest, AnAnswerThatStopsLeavesNothingBehindItInTheSession) {
  const Tokenizer tokenizer = ByteTokenizer();
  InferenceEngine engine(RandomModel(0, 256), {.num_threads = 1}),
      same(RandomModel(0, 256), {.num_threads = 1});
  const std::vector<int32_t> prompt = {1, 2, 3};
  GenerateOptions options;
  options.sampling = greedy_;
  options.max_new_tokens = 60;
  Session session(engine);
  ASSERT_OK_AND_ASSIGN(const GenerateResult free, Generate(session, tokenizer, prompt, options));
  ModelDrafter drafter(same, greedy_, 256, 0.1);
  options.drafter = &drafter;
  for (const size_t stop_at : {5, 6, 7, 8, 9, 10}) {
    options.stop_tokens = {free.tokens[stop_at]};
    const size_t expected =
        1 + static_cast<size_t>(std::ranges::find(free.tokens, free.tokens[stop_at]) - free.tokens.begin());
    ASSERT_OK_AND_ASSIGN(const GenerateResult result, Generate(session, tokenizer, prompt, options));
    EXPECT_EQ(result.tokens, std::vector(free.tokens.begin(), free.tokens.begin() + expected));
    EXPECT_EQ(result.finish_reason, FinishReason::kStopToken);
    ASSERT_LE(session.tokens().size(), prompt.size() + expected);
    for (size_t i = prompt.size(); i < session.tokens().size(); ++i) {
      EXPECT_EQ(session.tokens()[i], result.tokens[i - prompt.size()]);
    }
    EXPECT_EQ(result.speculation.num_accepted, result.speculation.num_proposed);
  }
}

// A scheduler of 16 answers: their proposals share a pass, and each answer is the same as alone.
// Long: the scheduler, then the answers alone.
TEST(TokenStreamsTest, SixteenTogetherGiveTheAnswersOfEachAlone) {
  constexpr size_t kStreams = 16;
  InferenceEngine engine(RandomModel(0, 300), {.num_threads = 2, .max_total_tokens = kStreams * 256}),
      draft(RandomModel(0.002, 300), {.num_threads = 1, .max_total_tokens = 2 * kStreams * 256});
  const Tokenizer tokenizer = ByteTokenizer();
  struct Stream {
    std::vector<int32_t> prompt;
    GenerateOptions options;
    std::unique_ptr<Drafter> drafter;
    std::unique_ptr<Session> session;
    std::unique_ptr<TokenStream> tokens;
    std::unique_ptr<Answer> answer;
  };
  const auto make_drafter = [&](size_t i, const SamplingOptions& sampling) -> std::unique_ptr<Drafter> {
    if (i % 3 == 0) return std::make_unique<LookupDrafter>(256);
    if (i % 3 == 1) return std::make_unique<ModelDrafter>(draft, sampling, 300, 0.1);
    return nullptr;
  };
  std::vector<Stream> streams(kStreams);
  std::vector<GenerateResult> alone;
  for (size_t i = 0; i < kStreams; ++i) {
    Stream& stream = streams[i];
    stream.prompt = RandomTokens(256, 3 + 11 * i, i);
    stream.options.sampling = {.temperature = i % 2 == 0 ? 0.0f : 0.9f, .seed = i};
    stream.options.max_new_tokens = 20 + 5 * i;
    if (i % 4 == 0) stream.options.stop_tokens = {static_cast<int32_t>(i)};
    const std::unique_ptr<Drafter> drafter = make_drafter(i, stream.options.sampling);
    stream.options.drafter = drafter.get();
    Session session(engine);
    ASSERT_OK_AND_ASSIGN(alone.emplace_back(), Generate(session, tokenizer, stream.prompt, stream.options));
    stream.options.drafter = nullptr;
  }
  std::vector<SessionTokens> parts;
  for (size_t i = 0; i < kStreams; ++i) {
    streams[i].session = std::make_unique<Session>(engine, fmt::format("{}", i));
    parts.push_back({streams[i].session.get(), streams[i].prompt});
  }
  ASSERT_OK(AppendTogether(engine, parts));
  for (size_t i = 0; i < kStreams; ++i) {
    Stream& stream = streams[i];
    stream.drafter = make_drafter(i, stream.options.sampling);
    if (stream.drafter) {
      ASSERT_OK(stream.drafter->Start(stream.prompt, nullptr));
    }
    stream.tokens = std::make_unique<TokenStream>(*stream.session, stream.options.sampling,
                                                  stream.drafter.get(), stream.options.max_draft_tokens);
    stream.answer = std::make_unique<Answer>(tokenizer, stream.options);
  }
  size_t num_passes = 0, num_accepted = 0;
  while (true) {
    parts.clear();
    for (Stream& stream : streams) {
      if (stream.answer->ended()) continue;
      ASSERT_OK_AND_ASSIGN(const std::span<const int32_t> tokens, stream.tokens->Take());
      const size_t num_added = stream.answer->Add(tokens);
      if (stream.answer->ended()) {
        stream.tokens->DropLast(tokens.size() - num_added);
      } else if (stream.session->room() == 0) {  // the longest prompts leave too little for their answers
        stream.answer->End(FinishReason::kContextFull);
      } else {
        parts.push_back(stream.tokens->Propose(stream.answer->num_wanted()));
      }
    }
    if (parts.empty()) break;
    ASSERT_OK(AppendTogether(engine, parts));
    ++num_passes;
  }
  for (size_t i = 0; i < kStreams; ++i) {
    EXPECT_EQ(streams[i].answer->tokens(), alone[i].tokens) << i;
    EXPECT_EQ(streams[i].answer->text(), alone[i].text) << i;
    EXPECT_EQ(streams[i].answer->finish_reason(), alone[i].finish_reason) << i;
    EXPECT_EQ(streams[i].tokens->stats().num_passes, alone[i].speculation.num_passes) << i;
    num_accepted += streams[i].tokens->stats().num_accepted;
  }
  EXPECT_GT(num_accepted, 50u);
  EXPECT_LT(num_passes, 100u);  // the longest answer has 95 tokens
}

TEST_F(SpeculationTest, RowsOfLogitsAreThoseOfSingleTokens) {
  std::vector<int32_t> tokens(600);  // more than one chunk of prefill
  InferenceEngine engine(
      [] {
        ModelConfig config = TinyConfig(kVocabulary);
        config.max_position_embeddings = 1024;
        Model model(config);
        model.Initialize(4);
        return model;
      }(),
      {.num_threads = 2, .max_total_tokens = 2048});
  for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<int32_t>(i * i % kVocabulary);
  Session rows(engine), singly(engine);
  constexpr size_t kRows = 130;  // reach into the chunk before the last, if chunks did not make room for them
  ASSERT_OK(rows.Append(tokens, nullptr, kRows));
  ASSERT_OK(singly.Append(std::span(tokens).first(tokens.size() - kRows)));
  for (size_t i = 0; i < kRows; ++i) {
    ASSERT_OK(singly.Append(std::span(tokens).subspan(tokens.size() - kRows + i, 1)));
    ASSERT_TRUE(std::ranges::equal(singly.logits(), rows.logits(i))) << i;
  }
  EXPECT_TRUE(std::ranges::equal(singly.logits(), rows.logits()));
}

}  // namespace
}  // namespace qwen25

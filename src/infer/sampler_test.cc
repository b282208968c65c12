#include "infer/sampler.h"

#include <rapidcheck.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <vector>

#include "base/rng.h"
#include "base/test_util.h"

namespace qwen25 {
namespace {

std::vector<float> Logits(std::initializer_list<double> probabilities) {
  std::vector<float> logits;
  for (double p : probabilities) logits.push_back(static_cast<float>(std::log(p)));
  return logits;
}

// Frequencies of 20,000 draws.
std::map<int32_t, double> Draw(const SamplingOptions& options, const std::vector<float>& logits) {
  Sampler sampler(options, logits.size());
  std::map<int32_t, double> frequency;
  for (int i = 0; i < 20000; ++i) {
    std::vector<float> copy = logits;
    frequency[sampler.Sample(copy, {})] += 1.0 / 20000;
  }
  return frequency;
}

const SamplingOptions kPlain = {
    .temperature = 1, .top_k = 0, .top_p = 1, .min_p = 0, .repetition_penalty = 1, .seed = 7};

TEST(SamplerTest, DrawsTheDistribution) {
  const auto frequency = Draw(kPlain, Logits({0.5, 0.3, 0.15, 0.05}));
  EXPECT_NEAR(frequency.at(0), 0.5, 0.015);
  EXPECT_NEAR(frequency.at(1), 0.3, 0.015);
  EXPECT_NEAR(frequency.at(2), 0.15, 0.015);
  EXPECT_NEAR(frequency.at(3), 0.05, 0.01);
}

TEST(SamplerTest, EachFilterKeepsWhatItsDefinitionSays) {
  const auto logits = Logits({0.15, 0.5, 0.05, 0.3});
  SamplingOptions options = kPlain;
  options.top_k = 2;
  auto frequency = Draw(options, logits);
  EXPECT_EQ(frequency.size(), 2u);
  EXPECT_NEAR(frequency.at(1), 0.5 / 0.8, 0.015);

  options = kPlain;
  options.top_p = 0.79f;  // 0.5 + 0.3 reaches it
  EXPECT_EQ(Draw(options, logits).size(), 2u);
  options.top_p = 0.81f;
  EXPECT_EQ(Draw(options, logits).size(), 3u);

  options = kPlain;
  options.min_p = 0.29f;  // 0.15 / 0.5 is 0.3
  EXPECT_EQ(Draw(options, logits).size(), 3u);
  options.min_p = 0.31f;
  EXPECT_EQ(Draw(options, logits).size(), 2u);

  options = kPlain;
  options.temperature = 0.5f;  // squares the odds
  frequency = Draw(options, logits);
  EXPECT_NEAR(frequency.at(1) / frequency.at(3), std::pow(0.5 / 0.3, 2), 0.2);

  options.temperature = 0;
  EXPECT_EQ(Draw(options, logits).size(), 1u);
}

TEST(SamplerTest, RepetitionPenaltyCountsATokenOnce) {
  SamplingOptions options = kPlain;
  options.temperature = 0;
  options.repetition_penalty = 2.0f;
  Sampler sampler(options, 3);
  std::vector<float> logits = {4.0f, 2.5f, -1.0f};
  const std::vector<int32_t> history = {0, 0, 2};
  EXPECT_EQ(sampler.Sample(logits, history), 1);
  EXPECT_EQ(logits, (std::vector<float>{2.0f, 2.5f, -2.0f}));
}

TEST(SamplerTest, PenaltiesOfAnswersCountWhatWasDrawn) {
  SamplingOptions options = kPlain;
  options.temperature = 0;
  options.frequency_penalty = 0.5f;
  options.presence_penalty = 0.25f;
  options.logit_bias = {{3, 2.0f}};
  Sampler sampler(options, 4, /*num_prompt_tokens=*/2);
  std::vector<float> logits = {4.0f, 4.0f, 4.0f, 1.0f};
  const std::vector<int32_t> history = {0, 1, 1, 2, 2};
  EXPECT_EQ(sampler.Sample(logits, history), 0);
  EXPECT_EQ(logits, (std::vector<float>{4.0f, 3.25f, 2.75f, 3.0f}));
}

TEST(SamplerTest, EqualLogitsRankByLowerIdAndSeedsRepeat) {
  SamplingOptions options = kPlain;
  options.temperature = 0;
  std::vector<float> equal(50, 1.0f);
  EXPECT_EQ(Sampler(options, 50).Sample(equal, {}), 0);
  options = kPlain;
  Sampler a(options, 50), b(options, 50);
  for (int i = 0; i < 100; ++i) {
    std::vector<float> x(50, 1.0f), y(50, 1.0f);
    ASSERT_EQ(a.Sample(x, {}), b.Sample(y, {}));
  }
}

TEST(SamplerTest, AnyLogitsAndOptionsGiveAToken) {
  EXPECT_TRUE(rc::check("the token is inside the vocabulary and its probability is a probability", [] {
    SamplingOptions options;
    options.temperature = static_cast<float>(*rc::gen::inRange(0, 200)) / 100.0f;
    options.top_k = *rc::gen::inRange<uint32_t>(0, 60);
    options.top_p = static_cast<float>(*rc::gen::inRange(1, 101)) / 100.0f;
    options.min_p = static_cast<float>(*rc::gen::inRange(0, 101)) / 100.0f;
    const auto values = *rc::gen::nonEmpty(rc::gen::container<std::vector<int>>(rc::gen::inRange(-500, 500)));
    std::vector<float> logits(values.begin(), values.end());
    Sampler sampler(options, logits.size());
    const int32_t id = sampler.Sample(logits, {});
    RC_ASSERT(id >= 0 && static_cast<size_t>(id) < logits.size());
    RC_ASSERT(sampler.last_log_probability() <= 1e-12);
  }));
}

// The distribution by sorting every token, most likely first.
std::vector<TokenProbability> BySortingAll(const SamplingOptions& options, const std::vector<float>& logits) {
  std::vector<int32_t> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  const auto logit = [&](int32_t id) { return logits[static_cast<size_t>(id)]; };
  std::ranges::sort(ids,
                    [&](int32_t a, int32_t b) { return logit(a) != logit(b) ? logit(a) > logit(b) : a < b; });
  if (options.top_k != 0) ids.resize(std::min<size_t>(ids.size(), options.top_k));
  std::vector<TokenProbability> all;
  double total = 0;
  for (const int32_t id : ids) {
    all.push_back({id, std::exp((double{logit(id)} - double{logit(ids[0])}) / options.temperature)});
    total += all.back().probability;
  }
  size_t count = all.size();
  double sum = 0;
  for (size_t i = 0; i < count && options.top_p < 1; ++i) {
    sum += all[i].probability;
    if (sum >= options.top_p * total) count = i + 1;
  }
  while (count > 1 && all[count - 1].probability < options.min_p) --count;
  all.resize(count);
  total = 0;
  for (const TokenProbability& token : all) total += token.probability;
  for (TokenProbability& token : all) token.probability /= total;
  return all;
}

TEST(SamplerTest, SortingOnlyWhatIsNeededGivesTheSameDrawsForASeed) {
  EXPECT_TRUE(rc::check("distributions and draws are those of sorting everything", [] {
    SamplingOptions options;
    options.temperature = *rc::gen::element(0.3f, 1.0f, 4.0f);
    options.top_k = *rc::gen::element(0u, 0u, 5u, 400u, 5000u);
    options.top_p = *rc::gen::element(1.0f, 0.99f, 0.6f);
    options.min_p = *rc::gen::element(0.0f, 0.0f, 0.001f, 0.2f);
    options.seed = *rc::gen::arbitrary<uint64_t>();
    Rng rng(options.seed);
    std::vector<float> logits(*rc::gen::element<size_t>(1, 100, 3000));
    for (float& logit : logits) logit = static_cast<float>(std::round(40 * rng.Normal()) / 10);  // with ties
    const std::vector<TokenProbability> expected = BySortingAll(options, logits);
    Sampler sampler(options, logits.size()), by_hand(options, logits.size());
    std::vector<float> copy = logits;
    const auto distribution = sampler.Distribution(copy, {});
    RC_ASSERT(distribution.size() == expected.size());
    std::map<int32_t, double> chances;
    for (const TokenProbability& token : distribution) chances[token.id] = token.probability;
    for (size_t i = 0; i < expected.size(); ++i) {
      if (i < Sampler::kSorted) RC_ASSERT(distribution[i].id == expected[i].id);
      RC_ASSERT(std::abs(chances.at(expected[i].id) - expected[i].probability) < 1e-12);
    }
    for (int draw = 0; draw < 20; ++draw) {
      copy = logits;
      RC_ASSERT(sampler.Sample(copy, {}) == by_hand.Draw(expected));
      RC_ASSERT(std::abs(sampler.last_log_probability() - by_hand.last_log_probability()) < 1e-9);
    }
  }));
}

TEST(SamplerTest, NumbersThatAreNotFiniteHaveAPlaceInTheOrder) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN(),
                  kInfinity = std::numeric_limits<float>::infinity();
  SamplingOptions greedy = kPlain;
  greedy.temperature = 0;
  const auto most_likely = [&](std::vector<float> logits) {
    return Sampler(greedy, logits.size()).Sample(logits, {});
  };
  EXPECT_EQ(most_likely({kNan, 1, 3, kNan, 2}), 2);
  EXPECT_EQ(most_likely({kNan, -kInfinity, kNan}), 1);
  EXPECT_EQ(most_likely({kNan, kNan}), 0);
  // Such tokens are never drawn: a rule may forbid tokens by minus infinity.
  const auto all = Draw(kPlain, {kNan, std::log(0.5f), -kInfinity, std::log(0.5f)});
  EXPECT_EQ(all.size(), 2u);
  EXPECT_NEAR(all.at(1), 0.5, 0.015);
  Rng rng(1);
  std::vector<float> many(1000);
  for (float& logit : many) logit = rng.Below(3) == 0 ? kNan : static_cast<float>(rng.Normal());
  for (const SamplingOptions& options :
       {SamplingOptions{.top_k = 20}, SamplingOptions{.top_k = 0}, SamplingOptions{.top_k = 0, .top_p = 1}}) {
    std::vector<float> copy = many;
    Sampler sampler(options, 1000);
    for (const TokenProbability& token : sampler.Distribution(copy, {})) {
      ASSERT_TRUE(token.probability >= 0 && token.probability <= 1);
      ASSERT_TRUE(!std::isnan(many[static_cast<size_t>(token.id)]) || token.probability == 0);
    }
  }
}

TEST(SamplingOptionsTest, RefusesWhatMakesNoSense) {
  SamplingOptions options;
  options.temperature = -1;
  EXPECT_ERROR_CONTAINS(options.Validate(), "temperature is -1");
  options = {};
  options.top_p = 0;
  EXPECT_ERROR_CONTAINS(options.Validate(), "top_p is 0");
  options = {};
  options.min_p = 2;
  EXPECT_ERROR_CONTAINS(options.Validate(), "min_p is 2");
  options = {};
  options.repetition_penalty = std::nanf("");
  EXPECT_ERROR_CONTAINS(options.Validate(), "repetition_penalty is nan");
  options = {};
  options.frequency_penalty = -2.5f;
  EXPECT_ERROR_CONTAINS(options.Validate(), "frequency_penalty is -2.5");
  options = {};
  options.presence_penalty = std::nanf("");
  EXPECT_ERROR_CONTAINS(options.Validate(), "presence_penalty is nan");
  options = {};
  options.logit_bias = {{-1, 1.0f}};
  EXPECT_ERROR_CONTAINS(options.Validate(), "logit_bias names token -1");
  options.logit_bias = {{1, std::nanf("")}};
  EXPECT_ERROR_CONTAINS(options.Validate(), "logit_bias of token 1 is nan");
}

}  // namespace
}  // namespace qwen25

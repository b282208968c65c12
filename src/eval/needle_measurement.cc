#include "eval/needle_measurement.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/quantile.h"
#include "base/rng.h"
#include "infer/session.h"
#include "kernels/elementwise.h"
#include "ops/routing/layer_routing.h"

namespace qwen25 {
namespace {

constexpr std::string_view kWords = "The secret code of the old castle in Ystad is";
constexpr size_t kSlack = 8;   // tokens: pieces meet differently around a planted sentence
constexpr size_t kLeast = 64;  // tokens of the book
constexpr size_t kDigits = 5;

std::string NumberOf(uint64_t seed, uint64_t history) {
  return fmt::format("{}", 10000 + Rng(seed, history).Below(90000));
}

class NeedleMeasurement {
 public:
  using Progress = std::function<bool(uint64_t num_tokens)>;

  NeedleMeasurement(InferenceEngine& engine, const Tokenizer& tokenizer, const NeedleOptions& options,
                    uint64_t length, const Progress& progress)
      : engine_(engine),
        tokenizer_(tokenizer),
        options_(options),
        progress_(progress),
        session_(engine),
        score_{.length = length,
               .histories = options.histories,
               .right = std::vector<uint32_t>(options.depths)} {}

  Result<RecallScore> Run() {
    const NeedlePrompt planted = PlantNeedle("", 0, std::string(kDigits, '0'));
    // A number may be one token or one for each digit, with one before them for the space.
    num_answer_tokens_ = kDigits + 1;
    const size_t around = tokenizer_.Encode(planted.text).size() + num_answer_tokens_ + kSlack;
    if (score_.length < around + kLeast) {
      return InvalidArgument("{} tokens are too few for a text with a sentence in it, expected at least {}",
                             score_.length, around + kLeast);
    }
    if (score_.length > engine_.max_context_tokens()) {
      return InvalidArgument(
          "a text of {} tokens is longer than the context of {}; a recall window reads texts of any length",
          score_.length, engine_.max_context_tokens());
    }
    const size_t num_tokens = score_.length - around;
    const std::vector<int32_t> book = tokenizer_.Encode(options_.book, EncodeOptions{SpecialTokens::kAsText});
    if (book.size() < num_tokens) {
      return InvalidArgument("the text has {} tokens, but {} are needed for a length of {}; give more text",
                             book.size(), num_tokens, score_.length);
    }
    for (uint32_t history = 0; history < options_.histories; ++history) {
      const size_t begin = (book.size() - num_tokens) * (2 * history + 1) / (2 * size_t{options_.histories});
      QWEN25_RETURN_IF_ERROR(
          RunHistory(history, tokenizer_.Decode(std::span(book).subspan(begin, num_tokens))));
    }
    score_.seconds_per_question = Median(std::move(step_seconds_));
    RoutingTotals totals;
    totals.Add(session_.routing_counts());
    score_.read_share = totals.ReadShare();
    return std::move(score_);
  }

 private:
  // From the last place to the first: the tokens before a place are those of the text before it, and need not
  // be read again.
  Status RunHistory(uint32_t history, const std::string& text) {
    const std::string number = NumberOf(options_.seed, history);
    for (uint32_t depth = options_.depths; depth-- > 0;) {
      const bool is_whole = depth + 1 == options_.depths;
      const NeedlePrompt prompt = PlantNeedle(text, (depth + 0.5) / options_.depths, number);
      const std::vector<int32_t> tokens =
          tokenizer_.Encode(prompt.text, EncodeOptions{SpecialTokens::kAsText, true});
      GrowthWatch growth(score_, is_whole && history == 0);
      const uint64_t before =
          score_.length * (uint64_t{history} * options_.depths + options_.depths - 1 - depth);
      const auto watch = [&](size_t done) {
        growth.Note(done);
        return !progress_ || progress_(before + std::min<uint64_t>(done, score_.length));
      };
      QWEN25_RETURN_IF_ERROR(session_.HoldExactly(tokens, watch).status());
      growth.Note(tokens.size());
      if (is_whole)
        score_.seconds_per_token +=
            growth.seconds() / static_cast<double>(tokens.size() * options_.histories);
      QWEN25_TRY(const bool found, GoesOnWith(number));
      score_.right[depth] += found;
      if (progress_ && !progress_(before + score_.length)) return Cancelled("stopped");
    }
    return {};
  }

  Result<bool> GoesOnWith(std::string_view number) {
    std::vector<int32_t> answer;
    while (true) {
      const std::span<float> logits = session_.logits();
      answer.push_back(static_cast<int32_t>(ArgMax(logits.data(), logits.size())));
      if (answer.size() == num_answer_tokens_) break;
      const double start = NowSeconds();
      QWEN25_RETURN_IF_ERROR(session_.Append(std::span(answer).last(1)));
      step_seconds_.push_back(NowSeconds() - start);
    }
    return NamesNumber(tokenizer_.Decode(answer), number);
  }

  InferenceEngine& engine_;
  const Tokenizer& tokenizer_;
  const NeedleOptions& options_;
  const Progress& progress_;
  Session session_;
  RecallScore score_;
  size_t num_answer_tokens_ = 0;
  std::vector<double> step_seconds_;
};

}  // namespace

NeedlePrompt PlantNeedle(std::string_view text, double depth, std::string_view number) {
  const auto end = static_cast<size_t>(static_cast<double>(text.size()) * depth);
  const size_t stop = text.substr(0, end).rfind(". ");
  const size_t place = stop == std::string_view::npos ? 0 : stop + 2;
  return {.text = fmt::format("{}{} {}. {} {}", text.substr(0, place), kWords, number, text.substr(place),
                              kWords),
          .number = std::string(number)};
}

bool NamesNumber(std::string_view continuation, std::string_view number) {
  std::string digits(continuation);
  std::erase(digits, ' ');
  return digits.starts_with(number);
}

Result<RecallScore> MeasureNeedles(InferenceEngine& engine, const Tokenizer& tokenizer,
                                   const NeedleOptions& options, uint64_t length,
                                   const std::function<bool(uint64_t num_tokens)>& progress) {
  return NeedleMeasurement(engine, tokenizer, options, length, progress).Run();
}

}  // namespace qwen25

#include "eval/divergence.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <numeric>
#include <utility>

#include "base/all_finite.h"
#include "data/read/text_files.h"
#include "kernels/elementwise.h"
#include "model/decoder.h"
#include "model/not_finite.h"
#include "pretrained/tokenizer_fit.h"

namespace qwen25 {

// Computes the predictions of one model.
class ModelComparison::Predictor {
 public:
  Predictor(Model model, ThreadPool& threads)
      : model_(std::move(model)),
        scratch_(threads.num_threads()),
        execution_{threads, tensors_, scratch_, nullptr} {}

  const Model& model() const { return model_; }
  double BitsPerWeight() const {
    return 8.0 * static_cast<double>(model_.packed_bytes()) /
           static_cast<double>(model_.config().NumParameters());
  }

  // Reads a window of text. `tokens` must stay valid until the last LogProbabilities of the window.
  Status Start(std::span<const int32_t> tokens) {
    tokens_ = tokens;
    positions_.resize(tokens.size());
    std::iota(positions_.begin(), positions_.end(), 0);
    starts_ = {0, static_cast<int32_t>(tokens.size())};
    hidden_ = DecoderForward(execution_, model_, batch());
    for (size_t row = 0; row < hidden_.rows(); ++row) {
      if (!MayHaveOverflowed({hidden_.view().Row(row), hidden_.cols()})) continue;
      return ExplainOverflow(execution_, model_, batch(), {}, /*logits_are_finite=*/true);
    }
    return {};
  }

  // [end - begin, vocab] Log probabilities of the next token after each of tokens [begin, end) of the window.
  Result<Tensor> LogProbabilities(size_t begin, size_t end) {
    rows_.resize(end - begin);
    std::iota(rows_.begin(), rows_.end(), static_cast<int32_t>(begin));
    Tensor logits = Logits(execution_, model_, hidden_, rows_);
    std::atomic<bool> are_finite = true;
    execution_.threads.ParallelFor(rows_.size(), [&](size_t row, size_t) {
      const std::span<float> x(logits.data() + row * logits.cols(), logits.cols());
      if (!AllFinite(x)) {
        are_finite = false;
        return;
      }
      const float max = x[ArgMax(x.data(), x.size())];
      double sum = 0;
      for (float value : x) sum += std::exp(value - max);
      const auto log_sum = static_cast<float>(max + std::log(sum));
      for (float& value : x) value -= log_sum;
    });
    if (!are_finite) return ExplainOverflow(execution_, model_, batch(), {}, /*logits_are_finite=*/false);
    return logits;
  }

 private:
  TokenBatch batch() const { return {tokens_, positions_, starts_}; }

  Model model_;
  TensorPool tensors_;
  Scratch scratch_;
  Execution execution_;
  Tensor hidden_;
  std::span<const int32_t> tokens_;
  std::vector<int32_t> positions_, starts_, rows_;
};

// Sums for one model over the tokens so far.
struct ModelComparison::Sums {
  std::string name;
  double bits_per_weight = 0;
  double nats = 0;                 // sum of -log p of the text's tokens
  std::vector<float> divergences;  // KL(reference || model) of each token
  uint64_t same_top = 0;           // tokens whose most likely prediction is the reference's

  void Add(const Tensor& reference, const Tensor& other, std::span<const int32_t> targets,
           ThreadPool& threads) {
    const size_t first = divergences.size(), cols = reference.cols();
    divergences.resize(first + targets.size());
    std::vector<uint8_t> same(targets.size());
    threads.ParallelFor(targets.size(), [&](size_t row, size_t) {
      const float *p = reference.data() + row * cols, *q = other.data() + row * cols;
      double sum = 0;
      for (size_t i = 0; i < cols; ++i) sum += std::exp(p[i]) * (p[i] - q[i]);
      divergences[first + row] = static_cast<float>(sum);
      same[row] = ArgMax(p, cols) == ArgMax(q, cols);
    });
    for (size_t row = 0; row < targets.size(); ++row) {
      nats -= other.data()[row * cols + static_cast<size_t>(targets[row])];
      same_top += same[row];
    }
  }
};

ModelComparison::ModelComparison(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}
ModelComparison::~ModelComparison() = default;

Status ModelComparison::AddModel(std::string name, Model model, const Tokenizer& tokenizer) {
  if (const auto id = FirstDifferentToken(tokenizer_, tokenizer)) {
    return InvalidArgument(
        "{}: token {} is \"{}\" in this model and \"{}\" in the reference; their predictions cannot be "
        "compared",
        name, *id, tokenizer.TokenBytes(*id), tokenizer_.TokenBytes(*id));
  }
  const uint32_t rows = model.config().vocab_size;
  const uint32_t wanted = predictors_.empty() ? rows : predictors_[0]->model().config().vocab_size;
  if (rows != wanted) {
    return InvalidArgument(
        "{}: the model has {} embedding rows and the reference {}, expected equal numbers; their predictions "
        "cannot be compared",
        name, rows, wanted);
  }
  QWEN25_RETURN_IF_ERROR(CheckTokenizerFits(tokenizer, model.config(), name));
  max_window_ = std::min(max_window_, model.config().MaxContext());
  predictors_.push_back(std::make_unique<Predictor>(std::move(model), threads_));
  sums_.push_back({.name = std::move(name), .bits_per_weight = predictors_.back()->BitsPerWeight()});
  return {};
}

Status ModelComparison::AddFiles(std::span<const std::string> files, size_t window, uint64_t max_tokens,
                                 const Progress& progress) {
  const auto full = [&] { return max_tokens != 0 && num_tokens_ >= max_tokens; };
  for (const std::string& file : files) {
    if (full()) return {};
    QWEN25_TRY(const std::vector<std::string> texts, ReadTexts(file));
    for (const std::string& text : texts) {
      if (full()) return {};
      QWEN25_RETURN_IF_ERROR(AddText(text, window, max_tokens, progress));
    }
  }
  return {};
}

Status ModelComparison::AddText(std::string_view text, size_t window, uint64_t max_tokens,
                                const Progress& progress) {
  QWEN25_CHECK(window >= 2 && window <= max_window_);
  const std::vector<int32_t> tokens = tokenizer_.Encode(text, EncodeOptions{.add_bos = true});
  if (!predictors_.empty()) {
    QWEN25_RETURN_IF_ERROR(CheckTokensFit(tokens, tokenizer_, predictors_[0]->model().config()));
  }
  for (size_t begin = 0; begin + 1 < tokens.size(); begin += window) {
    size_t size = std::min(window, tokens.size() - begin);
    if (max_tokens != 0) size = std::min<uint64_t>(size, max_tokens - num_tokens_ + 1);
    if (size < 2) break;  // the first token of a window is not predicted
    QWEN25_RETURN_IF_ERROR(AddWindow(std::span(tokens).subspan(begin, size), progress));
  }
  return {};
}

Status ModelComparison::AddWindow(std::span<const int32_t> window, const Progress& progress) {
  const auto named = [&](size_t model, const Status& status) {
    return Status(status.code(), fmt::format("{}: {}", sums_[model].name, status.message()));
  };
  for (size_t i = 0; i < predictors_.size(); ++i) {
    if (const Status started = predictors_[i]->Start(window); !started.ok()) return named(i, started);
  }
  constexpr size_t kRows = 64;  // at a time: 39 MB of log probabilities per model with Qwen2.5's vocabulary
  for (size_t row = 0; row + 1 < window.size(); row += kRows) {
    const size_t end = std::min(window.size() - 1, row + kRows);
    const auto targets = window.subspan(row + 1, end - row);
    const Result<Tensor> expected = predictors_[0]->LogProbabilities(row, end);
    if (!expected.ok()) return named(0, expected.status());
    sums_[0].Add(*expected, *expected, targets, threads_);
    for (size_t i = 1; i < predictors_.size(); ++i) {
      const Result<Tensor> actual = predictors_[i]->LogProbabilities(row, end);
      if (!actual.ok()) return named(i, actual.status());
      sums_[i].Add(*expected, *actual, targets, threads_);
    }
    num_tokens_ += targets.size();
    if (progress && !progress(num_tokens_)) return Cancelled("stopped after {} tokens", num_tokens_);
  }
  return {};
}

std::vector<ModelDivergence> ModelComparison::Summarize() const {
  QWEN25_CHECK(num_tokens_ > 0);
  std::vector<ModelDivergence> rows;
  const double count = static_cast<double>(num_tokens_);
  for (const Sums& sums : sums_) {
    std::vector<float> sorted = sums.divergences;
    std::ranges::sort(sorted);
    double sum = 0;
    for (const float value : sorted) sum += value;
    const double perplexity = std::exp(sums.nats / count);
    rows.push_back({.name = sums.name,
                    .bits_per_weight = sums.bits_per_weight,
                    .perplexity = perplexity,
                    .perplexity_change = perplexity / std::exp(sums_[0].nats / count) - 1,
                    .mean_divergence = sum / count,
                    .divergence_99 = sorted[static_cast<size_t>(0.99 * (count - 1))],
                    .same_top = static_cast<double>(sums.same_top) / count});
  }
  return rows;
}

}  // namespace qwen25

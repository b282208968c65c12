#include "eval/text_score.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

#include "data/read/text_files.h"
#include "kernels/elementwise.h"
#include "model/not_finite.h"
#include "pretrained/tokenizer_fit.h"

namespace qwen25 {
namespace {

constexpr uint32_t kDefaultWindow = 2048;
// Rows whose logits are in memory at a time.
constexpr size_t kLogitRows = 128;

bool AnyRowMayHaveOverflowed(const Tensor& hidden) {
  for (size_t row = 0; row < hidden.rows(); ++row) {
    if (MayHaveOverflowed({hidden.view().Row(row), hidden.cols()})) return true;
  }
  return false;
}

}  // namespace

double TextScore::NatsPerToken() const {
  return nats / static_cast<double>(std::max<uint64_t>(1, num_tokens));
}
double TextScore::Perplexity() const {
  return std::exp(NatsPerToken());
}
double TextScore::BitsPerByte() const {
  return nats / std::numbers::ln2 / static_cast<double>(std::max<uint64_t>(1, num_bytes));
}

Status TextScoreOptions::Complete(const ModelConfig& config) {
  const size_t max_window = config.MaxContext();
  if (window == 0) window = static_cast<uint32_t>(std::min<size_t>(kDefaultWindow, max_window));
  if (stride == 0 || second_halves) stride = std::max(1u, window / 2);
  if (window < 2 || window > max_window || stride > window - 1) {
    return InvalidArgument(
        "--window is {} and --stride {}, expected a window of 2 to {} (the model's positions) and a smaller "
        "stride",
        window, stride, max_window);
  }
  return {};
}

TextScorer::TextScorer(const Model& model, const Tokenizer& tokenizer, const TextScoreOptions& options)
    : model_(model),
      tokenizer_(tokenizer),
      options_(options),
      scratch_(threads_.num_threads()),
      counts_(std::make_unique<RoutingCounts[]>(model.layers.size())),
      routing_(
          RouteLayers(options.routing.value_or(model.config().routing), model.layers.size(), counts_.get())) {
  QWEN25_CHECK(options.window >= 2 && options.stride >= 1 && options.stride < options.window);
  decoder_options_.routing = routing_;
  if (options.kv) {
    blocks_.emplace(model, *options.kv, options.window);
    decoder_options_.kv_format = *options.kv;
  }
}

RoutingTotals TextScorer::Totals() const {
  RoutingTotals totals;
  totals.Add({counts_.get(), routing_.size()});
  return totals;
}

double TextScorer::ReadShare() const {
  return Totals().ReadShare();
}

double TextScorer::RerankedShare() const {
  return Totals().RerankedShare();
}

Status TextScorer::AddFiles(std::span<const std::string> files, const Progress& progress) {
  for (const std::string& file : files) {
    if (full()) return {};
    QWEN25_TRY(const std::vector<std::string> texts, ReadTexts(file));
    for (const std::string& text : texts) {
      if (full()) return {};
      QWEN25_RETURN_IF_ERROR(AddText(text, progress));
    }
  }
  return {};
}

std::vector<int32_t> TextScorer::TokensOf(std::string_view text) const {
  std::vector<int32_t> tokens = tokenizer_.Encode(text, EncodeOptions{.add_bos = true});
  if (options_.second_halves) return tokens;
  if (!tokenizer_.bos_id() && tokenizer_.eos_id()) tokens.insert(tokens.begin(), *tokenizer_.eos_id());
  if (options_.max_tokens != 0) {
    const uint64_t left = options_.max_tokens - std::min(options_.max_tokens, score_.num_tokens);
    tokens.resize(std::min<uint64_t>(tokens.size(), left + 1));
  }
  return tokens;
}

Status TextScorer::AddText(std::string_view text, const Progress& progress) {
  std::vector<int32_t> tokens = TokensOf(text);
  QWEN25_RETURN_IF_ERROR(CheckTokensFit(tokens, tokenizer_, model_.config()));
  if (options_.second_halves) return AddSecondHalves(std::move(tokens), progress);
  for (size_t begin = 0, counted = 1; counted < tokens.size(); begin += options_.stride) {
    const size_t end = std::min<size_t>(tokens.size(), begin + options_.window);
    QWEN25_RETURN_IF_ERROR(AddWindow(tokens, begin, std::max(counted, begin + 1), end));
    counted = end;
    if (progress && !progress(score_.num_tokens)) {
      return Cancelled("stopped after {} tokens", score_.num_tokens);
    }
  }
  return {};
}

Status TextScorer::AddSecondHalves(std::vector<int32_t> tokens, const Progress& progress) {
  const std::vector<int32_t>& prefix = tokenizer_.spec().prefix_ids;
  const size_t window = options_.window;
  for (size_t begin = 0; begin + window <= tokens.size() && !full(); begin += window) {
    if (!prefix.empty()) tokens[begin] = prefix.front();
    QWEN25_RETURN_IF_ERROR(AddWindow(tokens, begin, begin + window / 2 + 1, begin + window));
    if (progress && !progress(score_.num_tokens)) {
      return Cancelled("stopped after {} tokens", score_.num_tokens);
    }
  }
  return {};
}

LossSum TextScorer::LossOf(const Tensor& hidden) {
  if (!options_.adapters || options_.adapters->lm_head().empty()) {
    return CrossEntropy(execution_, hidden, model_.lm_head, targets_, 0);
  }
  // CrossEntropy does not know changes of the output.
  LossSum loss;
  std::vector<int32_t> rows;
  for (size_t begin = 0; begin < targets_.size(); begin += kLogitRows) {
    rows.resize(std::min(kLogitRows, targets_.size() - begin));
    std::iota(rows.begin(), rows.end(), static_cast<int32_t>(begin));
    const AdapterRows all = {options_.adapters.get(), std::span(positions_).first(rows.size())};
    const Tensor logits = Logits(execution_, model_, hidden, rows, {&all, 1});
    for (size_t i = 0; i < rows.size(); ++i) {
      const int32_t target = targets_[begin + i];
      if (target < 0) continue;
      loss.sum += CrossEntropyRow(logits.view().Row(i), logits.cols(), target, /*dlogits_scale=*/0);
      ++loss.num_tokens;
    }
  }
  return loss;
}

Status TextScorer::AddWindow(std::span<const int32_t> tokens, size_t begin, size_t first_target, size_t end) {
  targets_.assign(end - begin, -1);
  uint64_t num_bytes = 0;
  for (size_t i = first_target; i < end; ++i) {
    targets_[i - 1 - begin] = tokens[i];
    num_bytes += tokenizer_.TokenBytes(tokens[i]).size();
  }
  positions_.resize(end - begin);
  std::iota(positions_.begin(), positions_.end(), 0);
  const std::vector<int32_t> starts = {0, static_cast<int32_t>(end - begin)};
  if (options_.adapters && !options_.adapters->empty()) {
    adapter_rows_ = {options_.adapters.get(),
                     positions_};  // a window has one sequence, whose positions are its rows
    decoder_options_.adapters = {&adapter_rows_, 1};
  }
  if (blocks_) {
    QWEN25_TRY(decoder_options_.kv, blocks_->Kv(end - begin));
  }
  const TokenBatch batch = {tokens.subspan(begin, end - begin), positions_, starts};
  // DecoderLoss in two steps, to check the hidden states between them.
  const Tensor hidden = DecoderForward(execution_, model_, batch, decoder_options_);
  const LossSum loss = LossOf(hidden);
  const bool is_finite = std::isfinite(loss.sum);
  if (!is_finite || AnyRowMayHaveOverflowed(hidden)) {
    QWEN25_RETURN_IF_ERROR(ExplainOverflow(execution_, model_, batch, decoder_options_, is_finite));
  }
  score_.nats += loss.sum;
  score_.num_tokens += loss.num_tokens;
  score_.num_bytes += num_bytes;
  return {};
}

}  // namespace qwen25

// What a weight format, or another model, costs: how far its predictions of texts are from those of a
// reference.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/thread_pool.h"
#include "model/model.h"
#include "text/tokenizer.h"

namespace qwen25 {

// One model beside the reference, on the same texts.
struct ModelDivergence {
  std::string name;
  double bits_per_weight = 0;
  double perplexity = 0;
  double perplexity_change = 0;  // as a share of the reference's
  // Of the Kullback-Leibler divergence of the model's predictions from the reference's, in nats, over tokens:
  // the mean, and what 99 % of them do not exceed.
  double mean_divergence = 0;
  double divergence_99 = 0;
  double same_top = 0;  // share of the tokens where both hold the same token most likely
};

// Several models, all in memory together, that predict the same texts.
class ModelComparison {
 public:
  // Called after some tokens with the number of those predicted so far; returning false stops (kCancelled).
  using Progress = std::function<bool(uint64_t num_tokens)>;

  // The reference's tokenizer encodes the texts. It must outlive the comparison.
  explicit ModelComparison(const Tokenizer& tokenizer);
  ~ModelComparison();
  ModelComparison(const ModelComparison&) = delete;
  ModelComparison& operator=(const ModelComparison&) = delete;

  ThreadPool& threads() { return threads_; }
  // The first model is the reference. kInvalidArgument if the tokens of model and tokenizer are not those of
  // the reference.
  Status AddModel(std::string name, Model model, const Tokenizer& tokenizer);
  // The longest window that every model can read.
  size_t max_window() const { return max_window_; }

  // Predicts the texts of some files (data/read/text_files.h), in windows of up to `window` tokens (2 to
  // max_window()) that are read on their own; `max_tokens` at most, or all for 0. Errors of reading, and of
  // AddText.
  Status AddFiles(std::span<const std::string> files, size_t window, uint64_t max_tokens,
                  const Progress& progress = nullptr);
  // kCorrupt, with the name of the model and its layer, if a model's numbers are not finite.
  Status AddText(std::string_view text, size_t window, uint64_t max_tokens,
                 const Progress& progress = nullptr);

  uint64_t num_tokens() const { return num_tokens_; }
  // An entry for each model, the reference first. At least one token must have been predicted.
  std::vector<ModelDivergence> Summarize() const;

 private:
  class Predictor;
  struct Sums;

  // Predicts every token of the window but the first.
  Status AddWindow(std::span<const int32_t> window, const Progress& progress);

  const Tokenizer& tokenizer_;
  ThreadPool threads_{DefaultNumThreads()};
  std::vector<std::unique_ptr<Predictor>> predictors_;
  std::vector<Sums> sums_;
  size_t max_window_ = SIZE_MAX;
  uint64_t num_tokens_ = 0;
};

}  // namespace qwen25

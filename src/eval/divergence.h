// Compares models, such as one model in several weight formats, by their predictions of texts.
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

// One model compared with the reference on the same texts.
struct ModelDivergence {
  std::string name;
  double bits_per_weight = 0;
  double perplexity = 0;
  double perplexity_change = 0;  // relative to the reference: 0.01 is 1 % more
  // Mean and 99th percentile over tokens of the Kullback-Leibler divergence KL(reference || model), in nats.
  double mean_divergence = 0;
  double divergence_99 = 0;
  double same_top = 0;  // share of tokens for which both predict the same most likely token
};

// Several models, all in memory at once, predict the same texts.
class ModelComparison {
 public:
  // Called now and then with the number of tokens predicted so far; returning false stops (kCancelled).
  using Progress = std::function<bool(uint64_t num_tokens)>;

  // `tokenizer` is the reference's and encodes the texts. It must outlive the comparison.
  explicit ModelComparison(const Tokenizer& tokenizer);
  ~ModelComparison();
  ModelComparison(const ModelComparison&) = delete;
  ModelComparison& operator=(const ModelComparison&) = delete;

  ThreadPool& threads() { return threads_; }
  // The first model added is the reference. kInvalidArgument if `tokenizer` or the number of embedding rows
  // differs from the reference's.
  Status AddModel(std::string name, Model model, const Tokenizer& tokenizer);
  // The longest window that every model can read.
  size_t max_window() const { return max_window_; }

  // Predicts the texts of `files` (data/read/text_files.h) in independent windows of up to `window` tokens (2
  // to max_window()), until `max_tokens` tokens are predicted in all calls together; 0: no limit. Errors of
  // reading and of AddText.
  Status AddFiles(std::span<const std::string> files, size_t window, uint64_t max_tokens,
                  const Progress& progress = nullptr);
  // The same for one text. kCorrupt, with model and layer, if a number is not finite.
  Status AddText(std::string_view text, size_t window, uint64_t max_tokens,
                 const Progress& progress = nullptr);

  uint64_t num_tokens() const { return num_tokens_; }
  // One entry per model, the reference first. At least one token must have been predicted.
  std::vector<ModelDivergence> Summarize() const;

 private:
  class Predictor;
  struct Sums;

  // Predicts every token of the window except the first.
  Status AddWindow(std::span<const int32_t> window, const Progress& progress);

  const Tokenizer& tokenizer_;
  ThreadPool threads_{DefaultNumThreads()};
  std::vector<std::unique_ptr<Predictor>> predictors_;
  std::vector<Sums> sums_;
  size_t max_window_ = SIZE_MAX;
  uint64_t num_tokens_ = 0;
};

}  // namespace qwen25

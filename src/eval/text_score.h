// Measures how well a model predicts texts: perplexity and bits per byte.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/thread_pool.h"
#include "eval/window_blocks.h"
#include "model/decoder.h"
#include "model/model.h"
#include "text/tokenizer.h"

namespace qwen25 {

struct TextScore {
  double nats = 0;          // sum of -log p over the predicted tokens
  uint64_t num_tokens = 0;  // predicted tokens
  uint64_t num_bytes = 0;   // bytes of text of these tokens

  double NatsPerToken() const;
  double Perplexity() const;
  double BitsPerByte() const;
};

struct TextScoreOptions {
  uint32_t window = 0;      // tokens of one forward pass; 0: 2048, or the model's positions if fewer
  uint32_t stride = 0;      // tokens between the starts of windows, below `window`; 0: half a window
  uint64_t max_tokens = 0;  // most tokens to predict; 0: all
  // As llama-perplexity: windows do not overlap (`stride` plays no part), each begins with the tokenizer's
  // beginning-of-text token in place of its first token if texts get one, only the tokens of its second half
  // are scored, and the rest of a text that fills no window is left out.
  bool second_halves = false;
  std::optional<RoutingPolicy> routing = {};        // none: the model's own
  std::shared_ptr<const AdapterSet> adapters = {};  // null: none
  std::optional<KvFormat> kv = {};                  // none: keys and values in float32, without blocks

  // Replaces zeros by the defaults for a model. kInvalidArgument if window and stride do not fit it.
  Status Complete(const ModelConfig& config);
};

// Scores texts in windows, each `stride` tokens after the one before. A window scores only tokens that
// earlier windows did not, so that every token is predicted once, with at least window - stride tokens of
// context if the text has them. The first token is predicted from the beginning-of-text token or, if the
// tokenizer has none, from the end-of-text token, so that every byte counts, as for a compressor. (Validation
// in training leaves the first token out: train/metrics.h.)
class TextScorer {
 public:
  // Called after each window with the tokens predicted so far; returning false stops (kCancelled).
  using Progress = std::function<bool(uint64_t num_tokens)>;

  // `options` must be complete. Model and tokenizer must outlive the scorer.
  TextScorer(const Model& model, const Tokenizer& tokenizer, const TextScoreOptions& options);

  // Scores the texts of `files` (data/read/text_files.h). Errors of reading and of AddText.
  Status AddFiles(std::span<const std::string> files, const Progress& progress = nullptr);
  // Scores one text. kCorrupt, with the layer, if the model's numbers are not finite.
  Status AddText(std::string_view text, const Progress& progress = nullptr);
  // True when max_tokens tokens are predicted.
  bool full() const { return options_.max_tokens != 0 && score_.num_tokens >= options_.max_tokens; }

  const TextScore& score() const { return score_; }
  // The share of the blocks visible to tokens that they read; 1 without routing.
  double ReadShare() const;
  // The share of them that were reranked by their keys; 0 without.
  double RerankedShare() const;

 private:
  // The loss of the rows of a window, by targets_.
  LossSum LossOf(const Tensor& hidden);
  RoutingTotals Totals() const;
  std::vector<int32_t> TokensOf(std::string_view text) const;
  Status AddSecondHalves(std::vector<int32_t> tokens, const Progress& progress);
  // Reads the window [begin, end) of `tokens` and scores tokens [first_target, end).
  Status AddWindow(std::span<const int32_t> tokens, size_t begin, size_t first_target, size_t end);

  const Model& model_;
  const Tokenizer& tokenizer_;
  const TextScoreOptions options_;
  ThreadPool threads_{DefaultNumThreads()};
  TensorPool tensors_;
  Scratch scratch_;
  Execution execution_{threads_, tensors_, scratch_, nullptr};
  std::vector<int32_t> targets_, positions_;
  AdapterRows adapter_rows_ = {};  // of a window: all
  std::unique_ptr<RoutingCounts[]> counts_;
  std::vector<LayerRouting> routing_;
  std::optional<WindowBlocks> blocks_;
  DecoderOptions decoder_options_;
  TextScore score_;
};

}  // namespace qwen25

// How well a model predicts texts: the logarithms of the chances that it gave to their tokens.
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
  double nats = 0;          // sum of -log p of the predicted tokens
  uint64_t num_tokens = 0;  // predicted
  uint64_t num_bytes = 0;   // of the text they stand for

  double NatsPerToken() const;
  double Perplexity() const;
  double BitsPerByte() const;
};

struct TextScoreOptions {
  uint32_t window = 0;      // tokens of one forward pass; 0: 2048, or as many as the model can tell apart
  uint32_t stride = 0;      // tokens between the beginnings of windows; 0: half a window
  uint64_t max_tokens = 0;  // predicted at most; 0: all
  std::optional<RoutingPolicy> routing = {};  // none: the model's own
  std::optional<KvFormat> kv = {};            // none: keys and values as computed, without blocks

  // Fills in the defaults for a model. kInvalidArgument if window and stride do not fit it.
  Status Complete(const ModelConfig& config);
};

// Scores texts in windows. Each window starts `stride` tokens after the one before and counts only tokens
// that have not been counted: every token of a text is predicted once, with at least window - stride tokens
// of context where the text has them. The first token of a text is predicted from the end-of-text token (or
// the beginning-of-text token, if the tokenizer has one), so that every byte is paid for, as a compressor
// pays for it. (Validation in training leaves it out: train/metrics.h.)
class TextScorer {
 public:
  // Called after each window with the tokens predicted so far; returning false stops (kCancelled).
  using Progress = std::function<bool(uint64_t num_tokens)>;

  // `options` must be complete. Model and tokenizer must outlive the scorer.
  TextScorer(const Model& model, const Tokenizer& tokenizer, const TextScoreOptions& options);

  // Adds the texts of some files (data/read/text_files.h). Errors of reading, and of AddText.
  Status AddFiles(std::span<const std::string> files, const Progress& progress = nullptr);
  // kCorrupt, with the layer, if the model's numbers are not finite.
  Status AddText(std::string_view text, const Progress& progress = nullptr);
  // max_tokens are predicted.
  bool full() const { return options_.max_tokens != 0 && score_.num_tokens >= options_.max_tokens; }

  const TextScore& score() const { return score_; }
  // Of the blocks that tokens could have read, those that they did; 1 without routing.
  double ReadShare() const;

 private:
  std::vector<int32_t> TokensOf(std::string_view text) const;
  // Predicts tokens [first_target, end) of the window [begin, end) of `tokens`.
  Status AddWindow(std::span<const int32_t> tokens, size_t begin, size_t first_target, size_t end);

  const Model& model_;
  const Tokenizer& tokenizer_;
  const TextScoreOptions options_;
  ThreadPool threads_{DefaultNumThreads()};
  TensorPool tensors_;
  Scratch scratch_;
  Execution execution_{threads_, tensors_, scratch_, nullptr};
  std::vector<int32_t> targets_, positions_;
  std::unique_ptr<RoutingCounts[]> counts_;
  std::vector<LayerRouting> routing_;
  std::optional<WindowBlocks> blocks_;
  DecoderOptions decoder_options_;
  TextScore score_;
};

}  // namespace qwen25

#include <cmath>
#include <memory>
#include <numbers>
#include <optional>
#include <span>
#include <vector>

#include "base/progress.h"
#include "cli/flags/model_flags.h"
#include "cli/terminal/interrupt.h"
#include "cli/verb.h"
#include "data/read/text_files.h"
#include "memory/block_list.h"
#include "memory/block_pool.h"
#include "model/decoder.h"
#include "model/model.h"
#include "pretrained/load_tokenizer.h"
#include "text/tokenizer.h"

namespace qwen25 {
namespace {

struct PerplexityFlags {
  std::string model, tokenizer;
  std::vector<std::string> files;
  uint32_t window = 0, stride = 0;
  uint64_t max_tokens = 0;
  std::string routing = "auto";
  std::optional<KvFormat> kv;  // none: as computed, without blocks
  bool json = false;
};

struct Score {
  double nats = 0;
  uint64_t num_tokens = 0;  // predicted
  uint64_t num_bytes = 0;   // of the text they stand for
};

// Blocks in which a window keeps its keys and values, as a session would, and their summaries.
class WindowBlocks {
 public:
  WindowBlocks(const Model& model, KvFormat format, size_t window)
      : num_blocks_(DivideUp(window, kBlockTokens)),
        num_panels_(DivideUp(num_blocks_, kPanelBlocks)),
        block_pool_(ShapeOf(model, format).BytesPerBlock(), model.layers.size(), num_blocks_),
        panel_pool_(ShapeOf(model, format).BytesPerPanel(), model.layers.size(), num_panels_),
        blocks_(&block_pool_, model.layers.size(), num_blocks_),
        panels_(&panel_pool_, model.layers.size(), num_panels_),
        kv_(model.layers.size()) {}

  // [layers], for a window of so many tokens.
  Result<std::span<const SequenceKv>> Kv(size_t num_tokens) {
    QWEN25_RETURN_IF_ERROR(blocks_.Grow(num_blocks_));
    QWEN25_RETURN_IF_ERROR(panels_.Grow(num_panels_));
    for (size_t layer = 0; layer < kv_.size(); ++layer) {
      kv_[layer] = {
          .blocks = blocks_.Layer(layer), .num_tokens = num_tokens, .summaries = panels_.Layer(layer)};
    }
    return std::span<const SequenceKv>(kv_);
  }

 private:
  static size_t DivideUp(size_t a, size_t b) { return (a + b - 1) / b; }
  static AttentionShape ShapeOf(const Model& model, KvFormat format) {
    AttentionShape shape = model.attention_shape();
    shape.kv_format = format;
    return shape;
  }

  size_t num_blocks_, num_panels_;
  BlockPool block_pool_, panel_pool_;
  BlockList blocks_, panels_;
  std::vector<SequenceKv> kv_;
};

// Scores windows of a text. Each window starts `stride` tokens behind the one before and counts only tokens
// that have not been counted: all but the first of the text are predicted once, with at least window - stride
// tokens of context.
class Scorer {
 public:
  Scorer(const Model& model, const RoutingPolicy& routing, std::optional<KvFormat> kv, uint32_t window,
         uint32_t stride)
      : model_(model),
        window_(window),
        stride_(stride),
        scratch_(threads_.num_threads()),
        counts_(std::make_unique<RoutingCounts[]>(model.layers.size())),
        routing_(RouteLayers(routing, model.layers.size(), counts_.get())) {
    options_.routing = routing_;
    if (kv) {
      blocks_.emplace(model, *kv, window);
      options_.kv_format = *kv;
    }
  }

  // Of the blocks that tokens could have read, those that they did.
  double ReadShare() const {
    uint64_t visible = 0, read = 0;
    for (const LayerRouting& layer : routing_) {
      visible += layer.counts->blocks_visible;
      read += layer.counts->blocks_read;
    }
    return visible == 0 ? 1 : static_cast<double>(read) / static_cast<double>(visible);
  }

  Status Add(const Tokenizer& tokenizer, std::span<const int32_t> tokens, Score& score) {
    for (size_t begin = 0, counted = 1; counted < tokens.size(); begin += stride_) {
      const size_t end = std::min(tokens.size(), begin + window_);
      targets_.assign(end - begin, -1);
      for (size_t i = std::max(counted, begin + 1); i < end; ++i) {
        targets_[i - 1 - begin] = tokens[i];
        score.num_bytes += tokenizer.TokenBytes(tokens[i]).size();
      }
      positions_.resize(end - begin);
      for (size_t i = 0; i < positions_.size(); ++i) positions_[i] = static_cast<int32_t>(i);
      const std::vector<int32_t> starts = {0, static_cast<int32_t>(end - begin)};
      if (blocks_) {
        QWEN25_TRY(options_.kv, blocks_->Kv(end - begin));
      }
      const LossSum loss =
          DecoderLoss(execution_, model_, {tokens.subspan(begin, end - begin), positions_, starts}, targets_,
                      0, options_);
      score.nats += loss.sum;
      score.num_tokens += loss.num_tokens;
      counted = end;
    }
    return {};
  }

 private:
  const Model& model_;
  size_t window_, stride_;
  ThreadPool threads_{DefaultNumThreads()};
  TensorPool tensors_;
  Scratch scratch_;
  Execution execution_{threads_, tensors_, scratch_, nullptr};
  std::vector<int32_t> targets_, positions_;
  std::unique_ptr<RoutingCounts[]> counts_;
  std::vector<LayerRouting> routing_;
  std::optional<WindowBlocks> blocks_;
  DecoderOptions options_;
};

Status RunPerplexity(const PerplexityFlags& flags) {
  QWEN25_TRY(const Model model, Model::Load(flags.model));
  QWEN25_TRY(const Tokenizer tokenizer,
             LoadTokenizer(flags.tokenizer.empty() ? flags.model : flags.tokenizer));
  if (tokenizer.vocab_size() > model.config().vocab_size) {
    return InvalidArgument("{}: the tokenizer has {} entries, the model {} rows; they do not belong together",
                           flags.model, tokenizer.vocab_size(), model.config().vocab_size);
  }
  const uint32_t window =
      flags.window != 0 ? flags.window : std::min(2048u, model.config().max_position_embeddings);
  const uint32_t stride = flags.stride != 0 ? flags.stride : std::max(1u, window / 2);
  if (window < 2 || window > model.config().max_position_embeddings || stride > window - 1) {
    return InvalidArgument(
        "--window is {} and --stride {}, expected a window of 2 to {} (the model's positions) and a "
        "smaller stride",
        window, stride, model.config().max_position_embeddings);
  }
  const InterruptGuard guard;
  QWEN25_TRY(const std::optional<RoutingPolicy> routing, ParseRoutingFlag(flags.routing));
  Scorer scorer(model, routing.value_or(model.config().routing), flags.kv, window, stride);
  Score score;
  Progress progress("perplexity", "tokens", flags.max_tokens);
  for (const std::string& file : flags.files) {
    QWEN25_TRY(const std::vector<std::string> texts, ReadTexts(file));
    for (const std::string& text : texts) {
      std::vector<int32_t> tokens = tokenizer.Encode(text, EncodeOptions{.add_bos = true});
      // The first token of a text is predicted from the end-of-text token, so that every byte is paid for, as
      // a compressor pays for it. (Validation in training leaves it out: train/metrics.h.)
      if (!tokenizer.bos_id() && tokenizer.eos_id()) tokens.insert(tokens.begin(), *tokenizer.eos_id());
      if (flags.max_tokens != 0) {
        tokens.resize(std::min<uint64_t>(tokens.size(), flags.max_tokens - score.num_tokens + 1));
      }
      QWEN25_RETURN_IF_ERROR(scorer.Add(tokenizer, tokens, score));
      progress.Update(score.num_tokens);
      if (InterruptGuard::requested()) return Cancelled("stopped after {} tokens", score.num_tokens);
      if (flags.max_tokens != 0 && score.num_tokens >= flags.max_tokens) break;
    }
  }
  progress.Finish();
  if (score.num_tokens == 0) return InvalidArgument("the files hold no text to predict");
  const double loss = score.nats / static_cast<double>(score.num_tokens);
  const double bits_per_byte =
      score.nats / std::numbers::ln2 / static_cast<double>(std::max<uint64_t>(1, score.num_bytes));
  if (flags.json) {
    const Json json = {{"tokens", score.num_tokens},
                       {"bytes", score.num_bytes},
                       {"loss", loss},
                       {"perplexity", std::exp(loss)},
                       {"bits_per_byte", bits_per_byte},
                       {"read_share", scorer.ReadShare()},
                       {"window", window},
                       {"stride", stride}};
    fmt::print("{}\n", json.dump());
  } else {
    fmt::print(
        "perplexity {:.4f} (loss {:.4f} nats/token, {:.4f} bits/byte) over {} tokens, {} bytes; window {}, "
        "stride {}\n",
        std::exp(loss), loss, bits_per_byte, score.num_tokens, score.num_bytes, window, stride);
    if (scorer.ReadShare() < 1)
      fmt::print("attention read {:.1f} % of its blocks\n", 100 * scorer.ReadShare());
  }
  return {};
}

}  // namespace

void AddPerplexityVerb(CLI::App& app, RunVerb& run) {
  auto flags = std::make_shared<PerplexityFlags>();
  CLI::App* verb =
      app.add_subcommand("perplexity", "How well a model predicts texts: perplexity and bits per byte");
  verb->add_option("-m,--model", flags->model, "Model folder or .gguf file")->required();
  verb->add_option("files", flags->files, "Text files, or .jsonl files with a \"text\" per line")->required();
  verb->add_option("--tokenizer", flags->tokenizer, "Tokenizer folder, if it is not the model's");
  verb->add_option("--window", flags->window, "Tokens of one forward pass; default: at most 2048");
  verb->add_option("--stride", flags->stride, "Tokens between windows; default: half a window");
  verb->add_option("--max-tokens", flags->max_tokens, "Stop after this many; 0: all");
  AddRoutingFlag(*verb, flags->routing);
  AddKvFlag(*verb, flags->kv, "computed",
            "How keys and values are kept, as when text is generated; computed: as they are");
  verb->add_flag("--json", flags->json, "Print one JSON object");
  verb->footer("Example:\n  qwen25 perplexity -m runs/demo/model runs/demo/data/documents.validation.jsonl");
  verb->callback([flags, &run] { run = [flags] { return RunPerplexity(*flags); }; });
}

}  // namespace qwen25

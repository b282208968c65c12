#include "infer/engine.h"

#include <algorithm>
#include <array>

#include "base/all_finite.h"
#include "memory/block_summaries.h"
#include "memory/spill_folder.h"
#include "model/not_finite.h"

namespace qwen25 {
namespace {

// A pass leaves out all blocks that it finds unreadable, so the second one succeeds unless the disk gets
// worse.
constexpr int kMaxTriesOfPass = 8;

size_t DivideUp(size_t a, size_t b) {
  return (a + b - 1) / b;
}

// The most tokens that a session may hold.
size_t ContextLimit(const ModelConfig& config, const InferenceEngine::Options& options) {
  size_t limit = config.MaxContext();
  if (options.recall_window > 0) {
    limit = static_cast<size_t>(options.history_bytes / config.KvBytesPerToken(options.kv_format));
    limit = std::clamp<size_t>(limit, options.recall_window, INT32_MAX - kBlockTokens);
  }
  return options.max_context_tokens == 0 ? limit : std::min(options.max_context_tokens, limit);
}

// Empty without a recall window.
Result<std::filesystem::path> SpillDirectory(const InferenceEngine::Options& options) {
  if (options.recall_window == 0) return std::filesystem::path();
  QWEN25_TRY(SpillFolder folder, ChooseSpillFolder(options.spill_directory));
  return std::move(folder.path);
}

RoutingPolicy RoutingOf(const ModelConfig& config, const InferenceEngine::Options& options) {
  RoutingPolicy routing = options.routing.value_or(config.routing);
  if (options.recall_window > 0 && routing.kind == RoutingPolicy::Kind::kDense) {
    routing.kind = RoutingPolicy::Kind::kTopK;
    routing.dense_below = static_cast<uint32_t>(std::min<size_t>(routing.dense_below, options.recall_window));
  }
  return routing;
}

}  // namespace

Status InferenceEngine::Check(const ModelConfig& config, const Options& options) {
  if (options.adapters) QWEN25_RETURN_IF_ERROR(options.adapters->CheckFits(config));
  const size_t window = options.recall_window;
  if (window == 0) return {};
  if (window % kBlockTokens != 0 || window > config.MaxContext()) {
    return InvalidArgument(
        "the recall window is {} tokens, expected a multiple of {} up to the model's {} positions", window,
        kBlockTokens, config.MaxContext());
  }
  const RoutingPolicy routing = RoutingOf(config, options);
  if (routing.dense_layers > 0 || routing.dense_below > window ||
      (size_t{routing.local_blocks} + 1) * kBlockTokens > window) {
    return InvalidArgument(
        "routing {} does not fit a recall window of {} tokens: dense_layers must be 0, dense_below at most "
        "the window, and the local blocks must lie in it",
        routing.ToString(), window);
  }
  return ChooseSpillFolder(options.spill_directory).status();
}

InferenceEngine::InferenceEngine(Model model, const Options& options)
    : model_(std::move(model)),
      threads_(options.threads ? options.threads
                               : std::make_shared<ThreadPool>(
                                     options.num_threads == 0 ? DefaultNumThreads() : options.num_threads)),
      scratch_(threads_->num_threads()),
      execution_{*threads_, tensors_, scratch_, nullptr},
      max_context_tokens_(ContextLimit(model_.config(), options)),
      kv_format_(options.kv_format),
      blocks_(block_shape().BytesPerBlock(), model_.layers.size(),
              DivideUp(std::max(options.max_total_tokens, max_context_tokens_), kBlockTokens),
              SpillDirectory(options).value()),
      working_bytes_(options.working_bytes),
      recall_window_(options.recall_window),
      routing_(RoutingOf(model_.config(), options)),
      adapters_(options.adapters) {
  QWEN25_CHECK(Check(model_.config(), options).ok());
  model_.PackForInference(*threads_);
  if (routing_.kind == RoutingPolicy::Kind::kDense && !options.keep_summaries) return;
  // A session needs at most one panel per block.
  const size_t panel_bytes = block_shape().BytesPerPanel();
  summaries_.emplace(panel_bytes, model_.layers.size(), blocks_.max_blocks(),
                     SpillDirectory(options).value());
  if (options.recall_window > 0) {
    super_summaries_.emplace(panel_bytes, model_.layers.size(), blocks_.max_blocks());
    clamped_rotary_.emplace(model_.rotary().inverse_frequencies(), options.recall_window, /*clamps=*/true);
  }
  QWEN25_CHECK(CheckRouting(routing_).ok());
}

void InferenceEngine::ReleaseRamWhereTooMuch() {
  if (!clamped_rotary_ || ReadFileBackedBytes() <= working_bytes_ + model_.packed_bytes()) return;
  blocks_.ReleaseRam();
  summaries_->ReleaseRam();
}

Status InferenceEngine::CheckRouting(const RoutingPolicy& policy) const {
  QWEN25_RETURN_IF_ERROR(policy.Validate());
  if (!summaries_ && policy.kind != RoutingPolicy::Kind::kDense) {
    return InvalidArgument("routing {} needs summaries of blocks, which this engine does not keep",
                           policy.ToString());
  }
  return {};
}

void InferenceEngine::SummarizeBlocks(const SequenceKv& kv, size_t first, size_t end) {
  qwen25::SummarizeBlocks(execution_, block_shape(), kv, first, end);
}

void InferenceEngine::Forward(std::span<SequenceRows> sequences) {
  const RecalledBlocks* recalled = nullptr;
  for (const SequenceRows& sequence : sequences) {
    if (sequence.recalled == nullptr) continue;
    QWEN25_CHECK(recalled == nullptr || recalled->store() == sequence.recalled->store());
    recalled = sequence.recalled;
  }
  if (recalled == nullptr) return Run(sequences);
  // A pass that met blocks that cannot be read is computed again without them: it writes the same rows.
  const BlockStore& store = *recalled->store();
  for (int tries = 0; tries < kMaxTriesOfPass; ++tries) {
    const uint64_t failures = store.NumReadFailures();
    {
      const BlockStore::Reading reading = store.BeginReading();
      Run(sequences);
    }
    if (store.NumReadFailures() == failures) return;
  }
  for (SequenceRows& sequence : sequences) {
    if (sequence.recalled == nullptr) continue;
    sequence.error = Status(StatusCode::kIo,
                            "recalled blocks cannot be read from the disk, and each time that they were left "
                            "out, others could not be read either; `qwen25 memory verify` names the blocks");
  }
}

void InferenceEngine::Run(std::span<SequenceRows> sequences) {
  for (SequenceRows& sequence : sequences) sequence.error = {};
  const size_t vocabulary = model_.config().vocab_size;
  tokens_.clear();
  positions_.clear();
  sequence_starts_.assign(1, 0);
  logit_rows_.clear();
  pass_adapters_.Clear();
  kv_.resize(model_.layers.size() * sequences.size());
  routing_of_pass_.resize(sequences.empty() || sequences[0].routing.empty() ? 0 : kv_.size());
  for (size_t s = 0; s < sequences.size(); ++s) {
    const SequenceRows& sequence = sequences[s];
    QWEN25_CHECK(!sequence.tokens.empty() && sequence.kv.size() == model_.layers.size());
    for (size_t i = 0; i < sequence.tokens.size(); ++i) {
      positions_.push_back(static_cast<int32_t>(sequence.first_position + i));
    }
    tokens_.insert(tokens_.end(), sequence.tokens.begin(), sequence.tokens.end());
    sequence_starts_.push_back(static_cast<int32_t>(tokens_.size()));
    const size_t num_rows = sequence.logits.size() / vocabulary;
    QWEN25_CHECK(num_rows * vocabulary == sequence.logits.size() && num_rows <= sequence.tokens.size());
    pass_adapters_.Add(sequence.adapters, sequence.tokens.size(), num_rows);
    for (size_t row = num_rows; row > 0; --row) {
      logit_rows_.push_back(static_cast<int32_t>(tokens_.size() - row));
    }
    for (size_t layer = 0; layer < model_.layers.size(); ++layer) {
      kv_[layer * sequences.size() + s] = sequence.kv[layer];
    }
    QWEN25_CHECK(sequence.routing.size() == (routing_of_pass_.empty() ? 0 : model_.layers.size()));
    for (size_t layer = 0; layer < sequence.routing.size(); ++layer) {
      routing_of_pass_[layer * sequences.size() + s] = sequence.routing[layer];
    }
  }
  const TokenBatch batch = {.tokens = tokens_, .positions = positions_, .sequence_starts = sequence_starts_};
  DecoderOptions options = OptionsOfPass();
  options.kv = kv_;
  options.routing = routing_of_pass_;
  pass_adapters_.Group();
  options.adapters = pass_adapters_.rows();
  const Tensor hidden = DecoderForward(execution_, model_, batch, options);
  ReleaseRamWhereTooMuch();
  if (!logit_rows_.empty()) {
    const Tensor logits = Logits(execution_, model_, hidden, logit_rows_, pass_adapters_.logit_rows());
    const float* rows = logits.data();
    for (const SequenceRows& sequence : sequences) {
      std::copy_n(rows, sequence.logits.size(), sequence.logits.data());
      rows += sequence.logits.size();
    }
  }
  FindErrors(hidden, sequences);
}

DecoderOptions InferenceEngine::OptionsOfPass() const {
  DecoderOptions options;
  options.kv_format = kv_format_;
  if (clamped_rotary_) options.rotary = &*clamped_rotary_;
  return options;
}

void InferenceEngine::FindErrors(const Tensor& hidden, std::span<SequenceRows> sequences) {
  Status lost = blocks_.status();
  if (lost.ok() && summaries_) lost = summaries_->status();
  if (!lost.ok()) {  // spilled blocks could not be read back: every result may be wrong
    for (SequenceRows& sequence : sequences) sequence.error = lost;
    return;
  }
  for (size_t s = 0; s < sequences.size(); ++s) {
    SequenceRows& sequence = sequences[s];
    const auto begin = static_cast<size_t>(sequence_starts_[s]);
    const size_t count = sequence.tokens.size();
    bool suspicious = false;
    for (size_t row = begin; row < begin + count && !suspicious; ++row) {
      suspicious = MayHaveOverflowed({hidden.view().Row(row), hidden.cols()});
    }
    const bool logits_are_finite = AllFinite(sequence.logits);
    if (!suspicious && logits_are_finite) continue;
    const int32_t starts[] = {0, static_cast<int32_t>(count)};
    DecoderOptions options = OptionsOfPass();
    options.kv = sequence.kv;
    options.routing = sequence.routing;
    PassAdapters own_adapters;
    own_adapters.Add(sequence.adapters, count, 0);
    own_adapters.Group();
    options.adapters = own_adapters.rows();
    sequence.error = ExplainOverflow(execution_, model_,
                                     {.tokens = sequence.tokens,
                                      .positions = std::span(positions_).subspan(begin, count),
                                      .sequence_starts = starts},
                                     options, logits_are_finite);
  }
}

AttentionShape InferenceEngine::block_shape() const {
  AttentionShape shape = model_.attention_shape();
  shape.kv_format = kv_format_;
  return shape;
}

void InferenceEngine::SetStore(BlockStore* store) {
  writer_ = nullptr;
  store_ = store;
  erasures_.clear();
  if (store == nullptr) return;
  plain_block_format_ = StoredBlockFormat(model_.Fingerprint(*threads_), block_shape(), blocks_.num_layers());
  block_format_ = BlockFormatOf(adapters_.get());
  writer_ =
      std::make_unique<BlockWriter>(*store, blocks_, block_format_, block_shape(), BlockWriter::Options());
}

BlockFormat InferenceEngine::BlockFormatOf(const AdapterSet* adapters) const {
  BlockFormat format = plain_block_format_;
  if (store_ != nullptr && adapters != nullptr && !adapters->empty()) {
    format.fingerprint = CombineHashes(std::to_array({format.fingerprint, adapters->hash()}));
  }
  return format;
}

uint64_t InferenceEngine::NoteErasures(const std::string& name_space, const Hash128& owner) {
  if (store_ == nullptr) return 0;
  const uint64_t count = store_->NumErasures(name_space);
  if (count == 0) return 0;
  uint64_t& known = erasures_[name_space];
  if (known != count) blocks_.Forget(owner);
  known = count;
  return count;
}

Hash128 InferenceEngine::SettingsName(const RoutingPolicy& policy, const AdapterSet* adapters) const {
  // Routing changes what later layers see of earlier tokens, as a window does.
  const std::string settings = fmt::format("kv={} window={} routing={}", static_cast<int>(kv_format_),
                                           recall_window_, summaries_ ? policy.ToString() : "dense");
  const Hash128 name = HashBytes128(std::as_bytes(std::span(settings)));
  if (adapters == nullptr || adapters->empty()) return name;
  return CombineHashes(std::to_array({name, adapters->hash()}));
}

}  // namespace qwen25

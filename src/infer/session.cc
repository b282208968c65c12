#include "infer/session.h"

#include <algorithm>

namespace qwen25 {
namespace {

// Tokens of a prompt per forward pass: enough rows for the matrix products to run at full speed, few enough
// that activations stay small and Ctrl-C is heard.
constexpr size_t kPrefillChunk = 512;
static_assert(kPrefillChunk >= Session::kMaxLogitRows);

size_t DivideUp(size_t a, size_t b) {
  return (a + b - 1) / b;
}

// Tokens that a session may hold.
size_t ContextLimit(const ModelConfig& config, const InferenceEngine::Options& options) {
  size_t limit = config.MaxContext();
  if (options.recall_window > 0) {
    limit = static_cast<size_t>(options.history_bytes / config.KvBytesPerToken(options.kv_format));
    limit = std::clamp<size_t>(limit, options.recall_window, INT32_MAX - kBlockTokens);
  }
  return options.max_context_tokens == 0 ? limit : std::min(options.max_context_tokens, limit);
}

std::filesystem::path SpillDirectory(const InferenceEngine::Options& options) {
  if (options.recall_window == 0) return {};
  return options.spill_directory.empty() ? std::filesystem::temp_directory_path() : options.spill_directory;
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
  const size_t window = options.recall_window;
  if (window == 0) return {};
  if (window % kBlockTokens != 0 || window > config.MaxContext()) {
    return InvalidArgument("the recall window is {} tokens, expected a multiple of {} up to the model's {}",
                           window, kBlockTokens, config.MaxContext());
  }
  const RoutingPolicy routing = RoutingOf(config, options);
  if (routing.dense_layers > 0 || routing.dense_below > window ||
      (size_t{routing.local_blocks} + 1) * kBlockTokens > window) {
    return InvalidArgument(
        "routing {} does not fit a recall window of {} tokens: dense_layers must be 0, dense_below at most "
        "the "
        "window, and the local blocks must lie in it",
        routing.ToString(), window);
  }
  return {};
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
              SpillDirectory(options)),
      working_bytes_(options.working_bytes),
      recall_window_(options.recall_window) {
  QWEN25_CHECK(Check(model_.config(), options).ok());
  model_.PackForInference(*threads_);
  NameBlocks();
  const RoutingPolicy routing = RoutingOf(model_.config(), options);
  if (routing.kind == RoutingPolicy::Kind::kDense && !options.keep_summaries) return;
  // A session has at most one panel per block.
  const size_t panel_bytes = block_shape().BytesPerPanel();
  summaries_.emplace(panel_bytes, model_.layers.size(), blocks_.max_blocks(), SpillDirectory(options));
  if (options.recall_window > 0) {
    super_summaries_.emplace(panel_bytes, model_.layers.size(), blocks_.max_blocks());
    clamped_rotary_.emplace(model_.rotary().inverse_frequencies(), options.recall_window, /*clamps=*/true);
  }
  routing_counts_ = std::make_unique<RoutingCounts[]>(model_.layers.size());
  QWEN25_CHECK(SetRouting(routing).ok());
}

void InferenceEngine::ReleaseRamWhereTooMuch() {
  if (!clamped_rotary_ || ReadFileBackedBytes() <= working_bytes_ + model_.packed_bytes()) return;
  blocks_.ReleaseRam();
  summaries_->ReleaseRam();
}

Status InferenceEngine::SetRouting(const RoutingPolicy& policy) {
  QWEN25_RETURN_IF_ERROR(policy.Validate());
  if (!summaries_ && policy.kind != RoutingPolicy::Kind::kDense) {
    return InvalidArgument("routing {} needs summaries of blocks, which this engine does not keep",
                           policy.ToString());
  }
  routing_ = policy;
  if (summaries_) layer_routing_ = RouteLayers(policy, model_.layers.size(), routing_counts_.get());
  SetRoutingTrace(routing_trace_);
  NameBlocks();
  return {};
}

void InferenceEngine::ResetRoutingCounts() {
  if (routing_counts_) routing_counts_ = std::make_unique<RoutingCounts[]>(model_.layers.size());
  for (LayerRouting& layer : layer_routing_) layer.counts = &routing_counts_[layer.layer];
}

void InferenceEngine::SetRoutingTrace(RoutingTrace* trace) {
  routing_trace_ = trace;
  for (LayerRouting& layer : layer_routing_) layer.trace = trace;
}

void InferenceEngine::SummarizeBlocks(const SequenceKv& kv, size_t first, size_t end) {
  qwen25::SummarizeBlocks(execution_, block_shape(), kv, first, end);
}

AttentionShape InferenceEngine::block_shape() const {
  AttentionShape shape = model_.attention_shape();
  shape.kv_format = kv_format_;
  return shape;
}

Session::Session(InferenceEngine& engine, std::string name_space)
    // Room for the whole context now, so that no later step allocates.
    : engine_(engine),
      name_space_(std::move(name_space)),
      name_space_hash_(HashBytes128(std::as_bytes(std::span(name_space_)))),
      names_begin_(NamesBegin()),
      blocks_(&engine.blocks(), engine.model().layers.size(),
              DivideUp(engine.max_context_tokens(), kBlockTokens)),
      panels_(engine.summaries(), engine.model().layers.size(),
              DivideUp(engine.max_context_tokens(), kBlockTokens * kPanelBlocks)),
      super_panels_(engine.super_summaries(), engine.model().layers.size(),
                    DivideUp(engine.max_context_tokens(), kBlockTokens * kPartBlocks * kPanelBlocks)) {
  tokens_.reserve(engine.max_context_tokens());
  logits_.reserve(engine.model().config().vocab_size);
}

Session::~Session() {
  Publish();
  Truncate(0);
}

Status Session::Reserve(size_t num_tokens) {
  // What is behind the last token of a block will be written to.
  if (tokens_.size() % kBlockTokens != 0) QWEN25_RETURN_IF_ERROR(blocks_.MakeLastWritable());
  const size_t num_blocks = DivideUp(num_tokens, kBlockTokens),
               num_panels = DivideUp(num_blocks, kPanelBlocks);
  QWEN25_RETURN_IF_ERROR(blocks_.Grow(num_blocks));
  QWEN25_RETURN_IF_ERROR(panels_.Grow(num_panels));
  return super_panels_.Grow(NumSuperPanels(num_panels));
}

size_t Session::NumSuperPanels(size_t num_panels) const {
  return DivideUp((num_recalled() / kPanelBlocks + num_panels) * kPanelParts, kPanelBlocks);
}

SequenceKv Session::Kv(size_t layer) const {
  return {.blocks = blocks_.Layer(layer),
          .num_tokens = num_recalled() * kBlockTokens + tokens_.size(),
          .summaries = panels_.Layer(layer),
          .super_summaries = super_panels_.Layer(layer),
          .num_recalled = num_recalled(),
          .source = recalled_,
          .recalled_tokens = recalled_ == nullptr ? std::span<const uint8_t>() : recalled_->num_tokens(),
          .layer = layer,
          .file = engine_.blocks().file()};
}

Status Session::Prepare(std::span<const int32_t> tokens) {
  const size_t old_count = tokens_.size();
  if (tokens.empty()) return InvalidArgument("there are no tokens to append: the text is empty");
  if (old_count + tokens.size() > engine_.max_context_tokens()) {
    return InvalidArgument(
        "the context would overflow: {} tokens are there, {} come, and the limit is {}; shorten the "
        "text, start a new conversation or use a model with a longer context",
        old_count, tokens.size(), engine_.max_context_tokens());
  }
  const auto vocabulary = static_cast<int64_t>(engine_.model().config().vocab_size);
  for (int32_t token : tokens) {
    if (token < 0 || token >= vocabulary) {
      return InvalidArgument(
          "token {} is outside the model's vocabulary of {}; is this the model's own tokenizer?", token,
          vocabulary);
    }
  }
  const Status status = Reserve(old_count + tokens.size());
  if (!status.ok()) Truncate(old_count);
  return status;
}

Status Session::Append(std::span<const int32_t> tokens, const Progress& progress, size_t num_logit_rows) {
  const size_t old_count = tokens_.size();
  QWEN25_RETURN_IF_ERROR(Prepare(tokens));
  QWEN25_CHECK(num_logit_rows >= 1 && num_logit_rows <= std::min(tokens.size(), kMaxLogitRows));
  for (size_t done = 0; done < tokens.size();) {
    if (progress && !progress(done)) {
      Truncate(old_count);
      return Cancelled("stopped after {} of {} tokens of the prompt", done, tokens.size());
    }
    // The rows whose logits are wanted come in one chunk, the last.
    const size_t left = tokens.size() - done;
    const size_t count = left <= kPrefillChunk ? left : std::min(kPrefillChunk, left - num_logit_rows);
    const SessionTokens part = {this, tokens.subspan(done, count), std::min(count, num_logit_rows)};
    done += count;
    engine_.Forward({&part, 1}, /*with_logits=*/done == tokens.size());
  }
  return {};
}

std::span<float> Session::logits(size_t row) {
  QWEN25_CHECK(row < num_logit_rows_);
  const size_t vocabulary = logits_.size() / num_logit_rows_;
  return std::span(logits_).subspan(row * vocabulary, vocabulary);
}

Status AppendTogether(InferenceEngine& engine, std::span<const SessionTokens> parts) {
  for (size_t i = 0; i < parts.size(); ++i) {
    QWEN25_CHECK(&parts[i].session->engine_ == &engine);
    const Status status = parts[i].session->Prepare(parts[i].tokens);
    if (status.ok()) continue;
    // Blocks that the earlier ones reserved go back.
    for (const SessionTokens& part : parts.first(i)) part.session->ReleaseUnusedBlocks();
    return status;
  }
  if (!parts.empty()) engine.Forward(parts, /*with_logits=*/true);
  return {};
}

void InferenceEngine::Forward(std::span<const SessionTokens> parts, bool with_logits) {
  tokens_.clear();
  positions_.clear();
  sequence_starts_.assign(1, 0);
  logit_rows_.clear();
  kv_.resize(model_.layers.size() * parts.size());
  for (size_t s = 0; s < parts.size(); ++s) {
    Session& session = *parts[s].session;
    session.NoteNames();
    for (int32_t token : parts[s].tokens) {
      positions_.push_back(
          static_cast<int32_t>(session.num_recalled() * kBlockTokens + session.tokens_.size()));
      session.tokens_.push_back(token);
      tokens_.push_back(token);
    }
    sequence_starts_.push_back(static_cast<int32_t>(tokens_.size()));
    const size_t num_rows = parts[s].num_logit_rows;
    QWEN25_CHECK(num_rows >= 1 && num_rows <= parts[s].tokens.size() && num_rows <= Session::kMaxLogitRows);
    for (size_t row = num_rows; row > 0; --row) {
      logit_rows_.push_back(static_cast<int32_t>(tokens_.size() - row));
    }
    for (size_t layer = 0; layer < model_.layers.size(); ++layer) {
      kv_[layer * parts.size() + s] = session.Kv(layer);
    }
  }
  DecoderOptions options;
  options.kv = kv_;
  options.kv_format = kv_format_;
  options.routing = layer_routing_;
  if (clamped_rotary_) options.rotary = &*clamped_rotary_;
  const TokenBatch batch = {.tokens = tokens_, .positions = positions_, .sequence_starts = sequence_starts_};
  const Tensor hidden = DecoderForward(execution_, model_, batch, options);
  ReleaseRamWhereTooMuch();
  if (!with_logits) return;
  const Tensor logits = Logits(execution_, model_, hidden, logit_rows_);
  const float* rows = logits.data();
  for (const SessionTokens& part : parts) {
    const float* end = rows + part.num_logit_rows * logits.cols();
    part.session->logits_.assign(rows, end);
    part.session->num_logit_rows_ = part.num_logit_rows;
    rows = end;
  }
}

void Session::Truncate(size_t num_tokens) {
  QWEN25_CHECK(num_tokens <= tokens_.size());
  tokens_.resize(num_tokens);
  names_.resize(std::min(names_.size(), num_tokens / kBlockTokens));
  num_stored_ = std::min(num_stored_, names_.size());
  logits_.clear();
  num_logit_rows_ = 0;
  ReleaseUnusedBlocks();
}

void Session::ReleaseUnusedBlocks() {
  const size_t num_blocks = DivideUp(tokens_.size(), kBlockTokens);
  const size_t num_panels = DivideUp(num_blocks, kPanelBlocks);
  blocks_.Shrink(num_blocks);
  panels_.Shrink(num_panels);
  super_panels_.Shrink(NumSuperPanels(num_panels));
}

}  // namespace qwen25

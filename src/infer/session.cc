#include "infer/session.h"

#include <algorithm>
#include <array>
#include <memory_resource>

namespace qwen25 {
namespace {

// Prompt tokens per forward pass: enough rows for matrix products at full speed, few enough for small
// activations and a quick reaction to Ctrl-C.
constexpr size_t kPrefillChunk = 512;
static_assert(kPrefillChunk >= Session::kMaxLogitRows);

size_t DivideUp(size_t a, size_t b) {
  return (a + b - 1) / b;
}

}  // namespace

Session::Session(InferenceEngine& engine, std::string name_space)
    // Reserves room for the whole context, so that no later step allocates.
    : engine_(engine),
      name_space_(std::move(name_space)),
      name_space_hash_(HashBytes128(std::as_bytes(std::span(name_space_)))),
      policy_(engine.routing()),
      adapters_(engine.adapters()),
      settings_name_(engine.SettingsName(policy_, adapters_.get())),
      names_begin_(NamesBegin()),
      blocks_(&engine.blocks(), engine.model().layers.size(),
              DivideUp(engine.max_context_tokens(), kBlockTokens)),
      panels_(engine.summaries(), engine.model().layers.size(),
              DivideUp(engine.max_context_tokens(), kBlockTokens * kPanelBlocks)),
      super_panels_(engine.super_summaries(), engine.model().layers.size(),
                    DivideUp(engine.max_context_tokens(), kBlockTokens * kPartBlocks * kPanelBlocks)),
      kv_(engine.model().layers.size()) {
  tokens_.reserve(engine.max_context_tokens());
  logits_.reserve(engine.model().config().vocab_size);
  if (engine.summaries() == nullptr) return;
  routing_counts_ = std::make_unique<RoutingCounts[]>(kv_.size());
  routing_ = RouteLayers(policy_, kv_.size(), routing_counts_.get());
}

Status Session::SetRouting(const RoutingPolicy& policy) {
  QWEN25_RETURN_IF_ERROR(engine_.CheckRouting(policy));
  policy_ = policy;
  settings_name_ = engine_.SettingsName(policy, adapters_.get());
  if (routing_counts_) routing_ = RouteLayers(policy, kv_.size(), routing_counts_.get());
  SetRoutingTrace(routing_trace_);
  return {};
}

Status Session::SetAdapters(std::shared_ptr<const AdapterSet> adapters) {
  QWEN25_CHECK(tokens_.empty());
  if (adapters) QWEN25_RETURN_IF_ERROR(adapters->CheckFits(engine_.model().config()));
  if (recalled_ != nullptr && HashOf(adapters.get()) != HashOf(engine_.adapters().get())) {
    return InvalidArgument(
        "the session recalls blocks that were computed with other adapters; set adapters for the whole "
        "engine "
        "instead");
  }
  adapters_ = std::move(adapters);
  settings_name_ = engine_.SettingsName(policy_, adapters_.get());
  return {};
}

void Session::ResetRoutingCounts() {
  if (!routing_counts_) return;
  routing_counts_ = std::make_unique<RoutingCounts[]>(kv_.size());
  for (LayerRouting& layer : routing_) layer.counts = &routing_counts_[layer.layer];
}

void Session::SetRoutingTrace(RoutingTrace* trace) {
  routing_trace_ = trace;
  for (LayerRouting& layer : routing_) layer.trace = trace;
}

Session::~Session() {
  Publish();
  Truncate(0);
}

Status Session::Reserve(size_t num_tokens) {
  // The rows after the last token are about to be written.
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
        "the context would overflow: it holds {} tokens, {} more are to be added, and the limit is {}; "
        "shorten the text, start a new conversation or use a model with a longer context",
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
  if (!status.ok()) ReleaseUnusedBlocks();
  return status;
}

SequenceRows Session::TakeTokens(std::span<const int32_t> tokens) {
  NoteNames();
  error_ = {};
  const size_t position = num_recalled() * kBlockTokens + tokens_.size();
  tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
  for (size_t layer = 0; layer < kv_.size(); ++layer) kv_[layer] = Kv(layer);
  return {.tokens = tokens,
          .first_position = position,
          .kv = kv_,
          .routing = routing_,
          .adapters = adapters_.get(),
          .recalled = recalled_};
}

std::span<float> Session::NewLogits(size_t num_rows) {
  num_logit_rows_ = num_rows;
  logits_.resize(num_rows * engine_.model().config().vocab_size);
  return logits_;
}

Status Session::CheckPass(const SequenceRows& rows, size_t old_count) {
  error_ = rows.error;
  if (!error_.ok()) Truncate(old_count);
  return error_;
}

Status Session::Append(std::span<const int32_t> tokens, const Progress& progress, size_t num_logit_rows) {
  const size_t old_count = tokens_.size();
  QWEN25_RETURN_IF_ERROR(Prepare(tokens));
  QWEN25_CHECK(num_logit_rows <= std::min(tokens.size(), kMaxLogitRows));
  for (size_t done = 0; done < tokens.size();) {
    if (progress && !progress(done)) {
      RollBack(old_count);
      return Cancelled("stopped after {} of {} tokens of the prompt", done, tokens.size());
    }
    // The last chunk must hold all rows whose logits are kept.
    const size_t left = tokens.size() - done;
    const size_t count = left <= kPrefillChunk ? left : std::min(kPrefillChunk, left - num_logit_rows);
    SequenceRows rows = TakeTokens(tokens.subspan(done, count));
    done += count;
    if (done == tokens.size()) rows.logits = NewLogits(num_logit_rows);
    engine_.Forward({&rows, 1});
    QWEN25_RETURN_IF_ERROR(CheckPass(rows, old_count));
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
    const auto& [session, tokens, num_logit_rows] = parts[i];
    QWEN25_CHECK(&session->engine_ == &engine);
    const auto earlier = parts.first(i);
    const bool twice = std::ranges::find(earlier, session, &SessionTokens::session) != earlier.end();
    const Status status = twice ? InvalidArgument(
                                      "part {} of {} is of the same session as an earlier one, expected a "
                                      "session once per pass",
                                      i + 1, parts.size())
                                : session->Prepare(tokens);
    if (!status.ok()) {  // give back the blocks that the earlier parts reserved
      for (const SessionTokens& part : earlier) part.session->ReleaseUnusedBlocks();
      return status;
    }
    QWEN25_CHECK(num_logit_rows <= std::min(tokens.size(), Session::kMaxLogitRows));
  }
  if (parts.empty()) return {};
  // On the stack for the usual number of sequences.
  std::array<std::byte, 64 * sizeof(SequenceRows)> memory;
  std::pmr::monotonic_buffer_resource resource(memory.data(), memory.size());
  std::pmr::vector<SequenceRows> rows(&resource);
  rows.reserve(parts.size());
  for (const SessionTokens& part : parts) {
    rows.push_back(part.session->TakeTokens(part.tokens));
    rows.back().logits = part.session->NewLogits(part.num_logit_rows);
  }
  engine.Forward(rows);
  Status first_error;
  for (size_t i = 0; i < parts.size(); ++i) {
    Session& session = *parts[i].session;
    const Status error = session.CheckPass(rows[i], session.tokens_.size() - parts[i].tokens.size());
    if (first_error.ok()) first_error = error;
  }
  return first_error;
}

void Session::Truncate(size_t num_tokens) {
  RollBack(num_tokens);
  NewLogits(0);
}

void Session::RollBack(size_t num_tokens) {
  QWEN25_CHECK(num_tokens <= tokens_.size());
  tokens_.resize(num_tokens);
  names_.resize(std::min(names_.size(), num_tokens / kBlockTokens));
  num_stored_ = std::min(num_stored_, names_.size());
  while (!queued_.empty() && queued_.back().end > names_.size()) queued_.pop_back();
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

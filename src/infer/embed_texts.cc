#include "infer/embed_texts.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/hash.h"
#include "infer/pool_tokens.h"
#include "model/not_finite.h"

namespace qwen25 {
namespace {

// Most tokens of one forward pass, unless a single window is longer: enough rows for matrix products at full
// speed.
constexpr size_t kBatchTokens = 2048;

struct PoolingName {
  EmbedPooling pooling;
  std::string_view name;
};
constexpr std::array kPoolings = std::to_array<PoolingName>({
    {EmbedPooling::kBidirectionalMean, "bidirectional-mean"},
    {EmbedPooling::kCausalMean, "causal-mean"},
    {EmbedPooling::kCausalLast, "causal-last"},
});

// Part of a sequence.
struct Window {
  size_t sequence;
  std::span<const int32_t> tokens;
};

std::vector<Window> WindowsOf(std::span<const std::vector<int32_t>> sequences, size_t max_tokens) {
  std::vector<Window> windows;
  for (size_t s = 0; s < sequences.size(); ++s) {
    const std::span<const int32_t> tokens = sequences[s];
    const size_t count = (tokens.size() + max_tokens - 1) / max_tokens;
    for (size_t i = 0; i < count; ++i) {
      const size_t begin = tokens.size() * i / count, end = tokens.size() * (i + 1) / count;
      windows.push_back({s, tokens.subspan(begin, end - begin)});
    }
  }
  return windows;
}

// Adds each window's unit vector, times its number of tokens, to its sequence's row of `out`.
Status AddWindows(InferenceEngine& engine, EmbedPooling pooling, std::span<const Window> windows,
                  std::span<float> out) {
  std::vector<int32_t> tokens, positions, starts;
  for (const Window& window : windows) {
    starts.push_back(static_cast<int32_t>(tokens.size()));
    for (size_t i = 0; i < window.tokens.size(); ++i) positions.push_back(static_cast<int32_t>(i));
    tokens.insert(tokens.end(), window.tokens.begin(), window.tokens.end());
  }
  starts.push_back(static_cast<int32_t>(tokens.size()));
  DecoderOptions options;
  if (pooling == EmbedPooling::kBidirectionalMean) options.mask = AttentionMask::kBidirectional;
  PassAdapters adapters;
  adapters.Add(engine.adapters().get(), tokens.size(), 0);
  adapters.Group();
  options.adapters = adapters.rows();
  const TokenBatch batch = {tokens, positions, starts};
  const Tensor hidden = DecoderForward(engine.execution(), engine.model(), batch, options);
  QWEN25_RETURN_IF_ERROR(CheckHidden(engine.execution(), engine.model(), batch, options, hidden));
  const size_t width = hidden.cols();
  const SentencePooling kind =
      pooling == EmbedPooling::kCausalLast ? SentencePooling::kLast : SentencePooling::kMean;
  std::vector<double> pooled(width);
  for (size_t w = 0; w < windows.size(); ++w) {
    const auto begin = static_cast<size_t>(starts[w]), end = static_cast<size_t>(starts[w + 1]);
    PoolTokens(kind, hidden.view().Rows(begin, end), pooled);
    AddUnit(pooled, static_cast<double>(end - begin), out.subspan(windows[w].sequence * width, width));
  }
  return {};
}

}  // namespace

std::string_view EmbedPoolingName(EmbedPooling pooling) {
  return std::ranges::find(kPoolings, pooling, &PoolingName::pooling)->name;
}

Result<EmbedPooling> ParseEmbedPooling(std::string_view name) {
  const auto found = std::ranges::find(kPoolings, name, &PoolingName::name);
  if (found != kPoolings.end()) return found->pooling;
  return InvalidArgument("\"{}\" is not a pooling; expected bidirectional-mean, causal-mean or causal-last",
                         name);
}

Status EmbedTokens(InferenceEngine& engine, EmbedPooling pooling, size_t max_tokens,
                   std::span<const std::vector<int32_t>> sequences, std::span<float> out) {
  const ModelConfig& config = engine.model().config();
  const size_t width = config.hidden_size;
  QWEN25_CHECK(out.size() == sequences.size() * width && max_tokens > 0);
  for (const std::vector<int32_t>& sequence : sequences) {
    for (const int32_t token : sequence) {
      if (token < 0 || token >= static_cast<int32_t>(config.vocab_size)) {
        return InvalidArgument("token {} is outside the model's vocabulary of {}", token, config.vocab_size);
      }
    }
  }
  std::ranges::fill(out, 0.0f);
  const std::vector<Window> windows = WindowsOf(sequences, std::min<size_t>(max_tokens, config.MaxContext()));
  for (size_t begin = 0; begin < windows.size();) {
    size_t end = begin, num_tokens = 0;
    while (end < windows.size() &&
           (end == begin || num_tokens + windows[end].tokens.size() <= kBatchTokens)) {
      num_tokens += windows[end++].tokens.size();
    }
    QWEN25_RETURN_IF_ERROR(AddWindows(engine, pooling, std::span(windows).subspan(begin, end - begin), out));
    begin = end;
  }
  for (size_t s = 0; s < sequences.size(); ++s) ScaleToUnit(out.subspan(s * width, width));
  return {};
}

uint64_t WeightsFingerprint(const Model& model, const AdapterSet* adapters) {
  // Clear the settings that do not affect hidden states: end tokens, the output, training settings.
  ModelConfig settings = model.config();
  settings.bos_token_id.reset();
  settings.eos_token_ids.clear();
  settings.tie_word_embeddings = true;
  settings.initializer_range = ModelConfig().initializer_range;
  settings.routing = RoutingPolicy();  // EmbedTokens reads every block
  if (settings.head_routing) settings.head_routing->balance_loss = 0;
  const std::string text = settings.ToJson().dump();
  uint64_t hash = Hash64(std::as_bytes(std::span(text)));
  const auto add = [&](const Parameter& parameter) {
    const std::array<uint64_t, 3> shape = {parameter.rows, parameter.cols,
                                           static_cast<uint64_t>(parameter.packed.format)};
    hash = Hash64(std::as_bytes(std::span(shape)), hash);
    if (parameter.packed) {
      hash = Hash64(
          {parameter.packed.data, PackedWeightBytes(parameter.packed.format, parameter.rows, parameter.cols)},
          hash);
    } else if (parameter.data != nullptr) {
      hash = Hash64(std::as_bytes(std::span(parameter.data, parameter.rows * parameter.cols)), hash);
    }
  };
  add(model.embed_tokens);
  for (const DecoderLayer& layer : model.layers) {
    for (const Parameter* parameter :
         {&layer.input_layernorm, &layer.qkv_proj, &layer.qkv_bias, &layer.head_gate, &layer.o_proj,
          &layer.post_attention_layernorm, &layer.gate_up_proj, &layer.down_proj}) {
      add(*parameter);
    }
  }
  add(model.norm);
  if (adapters != nullptr && !adapters->empty()) {
    hash = Hash64(std::as_bytes(std::span(&adapters->hash(), 1)), hash);
  }
  return hash;
}

}  // namespace qwen25

#include "infer/sentence_encoder.h"

#include <algorithm>

#include "base/all_finite.h"
#include "base/hash.h"
#include "infer/pool_tokens.h"
#include "pretrained/hub/resolve_model.h"
#include "pretrained/load_wordpiece.h"

namespace qwen25 {
namespace {

// Most tokens of one forward pass, unless a single window is longer: enough rows for matrix products at full
// speed, few enough that the activations of a layer stay in the caches.
constexpr size_t kBatchTokens = 1024;

// The width of the vectors, and whether the dense modules fit each other.
Result<size_t> DimensionOf(const EncoderConfig& config, const SentenceSettings& settings) {
  size_t width = settings.poolings.size() * config.hidden_size;
  for (const DenseModule& module : settings.dense) {
    if (module.num_in != width) {
      return InvalidArgument("{}: a Dense module takes {} numbers, but gets {} from the modules before it",
                             settings.model.string(), module.num_in, width);
    }
    width = module.num_out;
  }
  return width;
}

uint64_t HashText(std::string_view text, uint64_t seed) {
  return Hash64(std::as_bytes(std::span(text)), seed);
}

// A hash of what decides the ids of a text.
uint64_t TokenizerHash(const WordPieceTokenizer& tokenizer) {
  const WordPieceSpec& spec = tokenizer.spec();
  const BertNormalizerOptions& normalizer = spec.normalizer;
  std::string text = fmt::format("{} {} {} {} {} {} {} {} {}", spec.continuation, spec.max_word_characters,
                                 normalizer.clean_text, normalizer.chinese_chars, normalizer.strip_accents,
                                 normalizer.lowercase, spec.unk_token, spec.cls_token, spec.sep_token);
  for (const std::string& token : spec.tokens) text += fmt::format("\n{} {}", token.size(), token);
  return HashText(text, 0);
}

}  // namespace

Result<EmbeddingModel> FindEmbeddingModel(const std::string& name) {
  EmbeddingModel found;
  QWEN25_TRY(found.path, ResolveModel(name));
  std::error_code ignored;
  if (!std::filesystem::exists(found.path, ignored)) return found;
  QWEN25_TRY(found.settings, ReadSentenceSettings(found.path));
  found.is_encoder = IsEncoder(found.settings ? found.settings->model : found.path);
  return found;
}

SentenceEncoder::SentenceEncoder(EncoderModel model, WordPieceTokenizer tokenizer, SentenceSettings settings,
                                 std::shared_ptr<ThreadPool> threads)
    : model_(std::move(model)),
      tokenizer_(std::move(tokenizer)),
      settings_(std::move(settings)),
      threads_(std::move(threads)),
      scratch_(threads_->num_threads()),
      execution_{*threads_, tensors_, scratch_, nullptr} {}

Result<std::unique_ptr<SentenceEncoder>> SentenceEncoder::Load(const SentenceEncoderSource& source) {
  auto threads =
      std::make_shared<ThreadPool>(source.num_threads == 0 ? DefaultNumThreads() : source.num_threads);
  QWEN25_TRY(std::optional<SentenceSettings> stated, ReadSentenceSettings(source.path));
  SentenceSettings settings = stated ? std::move(*stated) : SentenceSettings{.model = source.path};
  if (!stated) {
    settings.poolings = {SentencePooling::kMean};
    settings.remarks.push_back(
        fmt::format("{}: states no pooling (modules.json); the mean of the tokens' hidden states is used",
                    source.path.string()));
  }
  QWEN25_TRY(EncoderModel model, EncoderModel::Load(settings.model, source.format, *threads));
  QWEN25_TRY(WordPieceTokenizer tokenizer, LoadWordPiece(settings.model, settings.lowercase));
  const EncoderConfig& config = model.config();
  if (tokenizer.vocab_size() > config.vocab_size) {
    return InvalidArgument(
        "{}: the tokenizer has ids up to {}, but the model has only {} embedding rows; they do not belong "
        "together: use the tokenizer published with the model",
        settings.model.string(), tokenizer.vocab_size() - 1, config.vocab_size);
  }
  QWEN25_TRY(const size_t dimension, DimensionOf(config, settings));
  std::unique_ptr<SentenceEncoder> encoder(
      new SentenceEncoder(std::move(model), std::move(tokenizer), std::move(settings), std::move(threads)));
  encoder->dimension_ = dimension;
  encoder->max_tokens_ =
      std::min<size_t>(encoder->settings_.max_tokens.value_or(config.max_position_embeddings),
                       encoder->config().max_position_embeddings);
  if (source.max_tokens > 0) encoder->max_tokens_ = std::min<size_t>(encoder->max_tokens_, source.max_tokens);
  // Room for one token of the text beside those around it.
  encoder->max_tokens_ = std::max<size_t>(encoder->max_tokens_, 3);
  encoder->remarks_ = encoder->model_.remarks();
  encoder->remarks_.insert(encoder->remarks_.end(), encoder->settings_.remarks.begin(),
                           encoder->settings_.remarks.end());
  return encoder;
}

std::string SentenceEncoder::Fingerprint() const {
  uint64_t modules = TokenizerHash(tokenizer_);
  for (const DenseModule& module : settings_.dense) {
    modules = Hash64(std::as_bytes(std::span(module.weight)), modules);
    modules = Hash64(std::as_bytes(std::span(module.bias)), modules + (module.tanh ? 1 : 0));
  }
  std::string text = fmt::format("{:016x}{:016x}", model_.Fingerprint(), modules);
  for (const SentencePooling pooling : settings_.poolings)
    text += fmt::format(" {}", SentencePoolingName(pooling));
  return fmt::format("{} {}", text, max_tokens_);
}

std::vector<SentenceEncoder::Window> SentenceEncoder::WindowsOf(const std::string& prompt,
                                                                std::span<const std::string> texts) const {
  const std::vector<int32_t>&before = tokenizer_.prefix_ids(), &after = tokenizer_.suffix_ids();
  const size_t most = max_tokens_ - before.size() - after.size();
  const auto encode = [&](const std::string& text) {
    std::vector<int32_t> ids;
    tokenizer_.Encode(text, ids, SpecialTokens::kAsText);
    return ids;
  };
  std::vector<int32_t> prompt_ids = encode(prompt);
  std::vector<Window> windows;
  const auto add = [&](size_t text, std::span<const int32_t> first, std::span<const int32_t> own) {
    Window window = {text, before, own.size()};
    window.ids.insert(window.ids.end(), first.begin(), first.end());
    window.ids.insert(window.ids.end(), own.begin(), own.end());
    window.ids.insert(window.ids.end(), after.begin(), after.end());
    windows.push_back(std::move(window));
  };
  for (size_t t = 0; t < texts.size(); ++t) {
    std::vector<int32_t> ids = encode(prompt + texts[t]);
    if (ids.empty()) continue;
    if (ids.size() <= most) {
      add(t, {}, ids);
      continue;
    }
    // Every window has the prompt before it, as long as that leaves the greater part to the text.
    std::span<const int32_t> first = prompt_ids;
    if (2 * first.size() > most) first = {};
    ids = encode(texts[t]);
    const size_t room = most - first.size(), count = (ids.size() + room - 1) / room;
    for (size_t i = 0; i < count; ++i) {
      const size_t begin = ids.size() * i / count, end = ids.size() * (i + 1) / count;
      add(t, first, std::span<const int32_t>(ids).subspan(begin, end - begin));
    }
  }
  return windows;
}

// Adds each window's unit vector, times its number of tokens, to its text's row of `out`.
Status SentenceEncoder::AddWindows(std::span<const Window> windows, std::span<float> out) {
  std::vector<int32_t> tokens, positions, starts;
  for (const Window& window : windows) {
    starts.push_back(static_cast<int32_t>(tokens.size()));
    for (size_t i = 0; i < window.ids.size(); ++i) positions.push_back(static_cast<int32_t>(i));
    tokens.insert(tokens.end(), window.ids.begin(), window.ids.end());
  }
  starts.push_back(static_cast<int32_t>(tokens.size()));
  const Tensor hidden = model_.Forward(execution_, {tokens, positions, starts});
  if (!AllFinite({hidden.data(), hidden.rows() * hidden.cols()})) {
    return Corrupt(
        "{}: the model's numbers are not finite: a weight is damaged, or too large for these formats; get "
        "the "
        "model's files again, or keep the weights in float32",
        settings_.model.string());
  }
  for (size_t w = 0; w < windows.size(); ++w) {
    const MatrixView<const float> rows =
        hidden.view().Rows(static_cast<size_t>(starts[w]), static_cast<size_t>(starts[w + 1]));
    const std::vector<double> vector = SentenceVector(settings_.poolings, settings_.dense, rows);
    AddUnit(vector, static_cast<double>(windows[w].num_own),
            out.subspan(windows[w].text * dimension_, dimension_));
  }
  return {};
}

Status SentenceEncoder::Embed(const std::string& prompt, std::span<const std::string> texts,
                              std::span<float> out) {
  QWEN25_CHECK(out.size() == texts.size() * dimension_);
  std::ranges::fill(out, 0.0f);
  const std::vector<Window> windows = WindowsOf(prompt, texts);
  for (size_t begin = 0; begin < windows.size();) {
    size_t end = begin, num_tokens = 0;
    while (end < windows.size() && (end == begin || num_tokens + windows[end].ids.size() <= kBatchTokens)) {
      num_tokens += windows[end++].ids.size();
    }
    QWEN25_RETURN_IF_ERROR(AddWindows(std::span(windows).subspan(begin, end - begin), out));
    begin = end;
  }
  for (size_t t = 0; t < texts.size(); ++t) ScaleToUnit(out.subspan(t * dimension_, dimension_));
  return {};
}

}  // namespace qwen25

#include "knowledge/model_embedder.h"

#include "base/hash.h"
#include "knowledge/encoder_embedder.h"
#include "text/piece_splitter.h"
#include "text/tokenizer_steps_json.h"

namespace qwen25 {
namespace {

// A hash of what decides the ids of a text: with the same weights, another tokenizer gives other vectors.
uint64_t TokenizerFingerprint(const Tokenizer& tokenizer) {
  const TokenizerSpec& spec = tokenizer.spec();
  const bool byte_level = spec.model == BpeModel::kByteLevel;
  const auto kind = FastKindOf(spec.pre_tokenizer);
  // The numbers stand for the forms that there were first, so that vectors made then stay valid.
  std::string text = fmt::format("{} {} {} {} {} {}", static_cast<int>(spec.model),
                                 static_cast<int>(kind.value_or(PreTokenizerKind::kQwen2)),
                                 !byte_level || spec.normalizer == NfcSteps(), spec.ignore_merges,
                                 spec.fuse_unk, spec.unk_id.value_or(-1));
  const bool old_form = byte_level ? kind && *kind <= PreTokenizerKind::kGpt2 && spec.normalizer.size() <= 1
                                   : spec.normalizer == SpaceMarkSteps() && spec.pre_tokenizer.empty();
  if (!old_form) {
    text += '\n' + NormalizerJson(spec.normalizer).dump() + PreTokenizerJson(spec.pre_tokenizer).dump();
  }
  for (size_t id = 0; id < tokenizer.vocab_size(); ++id) {
    const std::string_view bytes = tokenizer.TokenBytes(static_cast<int32_t>(id));
    text += fmt::format("\n{} ", bytes.size());
    text += bytes;
  }
  for (const AddedToken& added : spec.added_tokens) {
    text += fmt::format("\n{} {} {} {} {}", added.id, added.special, added.normalized, added.lstrip,
                        added.rstrip);
    if (added.single_word) text += " word";
  }
  const uint64_t hash = Hash64(std::as_bytes(std::span(text)));
  static_assert(sizeof(TokenizerSpec::Merge) == 3 * sizeof(int32_t));  // no padding
  return Hash64(std::as_bytes(std::span(spec.merges)), hash);
}

}  // namespace

ModelEmbedder::ModelEmbedder(InferenceEngine& engine, const Tokenizer& tokenizer,
                             const ModelEmbedderOptions& options)
    : engine_(engine),
      tokenizer_(tokenizer),
      options_(options),
      id_{"model", engine.model().config().hidden_size,
          fmt::format("{:016x}{:016x} {} {}{}{}", WeightsFingerprint(engine.model(), engine.adapters().get()),
                      TokenizerFingerprint(tokenizer), EmbedPoolingName(options.pooling), options.max_tokens,
                      options.trained_to_embed ? " template" : "",
                      PromptsFingerprint(options.query_prompt, options.passage_prompt))} {}

Status ModelEmbedder::Embed(EmbedKind kind, std::span<const std::string> texts, std::span<float> out) {
  const std::string& prompt = kind == EmbedKind::kQuery ? options_.query_prompt : options_.passage_prompt;
  const EncodeOptions encode = {.special = SpecialTokens::kAsText,
                                .add_bos = options_.trained_to_embed,
                                .add_eos = options_.trained_to_embed};
  std::vector<std::vector<int32_t>> sequences(texts.size());
  for (size_t i = 0; i < texts.size(); ++i) {
    if (!texts[i].empty()) tokenizer_.Encode(prompt + texts[i], sequences[i], encode);
  }
  return EmbedTokens(engine_, options_.pooling, options_.max_tokens, sequences, out);
}

}  // namespace qwen25

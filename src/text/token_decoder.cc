#include "text/token_decoder.h"

#include "text/text_normalizer.h"

namespace qwen25 {

using Kind = DecoderStep::Kind;

Result<TokenDecoder> TokenDecoder::Create(const TokenizerSpec& spec, std::string_view origin) {
  TokenDecoder decoder;
  if (spec.model == BpeModel::kByteLevel) {
    // Without a decoder, Hugging Face shows the byte alphabet with spaces between tokens; nobody wants that.
    const auto& steps = spec.decoder;
    if (steps.empty() || (steps.size() == 1 && steps[0].kind == Kind::kByteLevel)) return decoder;
    return Unsupported("{}: decoder is not ByteLevel alone, which a byte-level model needs", origin);
  }
  if (spec.decoder.empty()) decoder.plan_.separator = " ";
  bool fused = false;
  for (const DecoderStep& step : spec.decoder) {
    if (step.kind == Kind::kMetaspace && spec.decoder.size() > 1) {
      return Unsupported("{}: decoder Metaspace is not the only step, as is handled", origin);
    }
    QWEN25_RETURN_IF_ERROR(decoder.AddStep(step, fused, origin));
  }
  return decoder;
}

Status TokenDecoder::AddStep(const DecoderStep& step, bool& fused, std::string_view origin) {
  if (fused && step.kind != Kind::kStrip && step.kind != Kind::kFuse) {
    return Unsupported("{}: decoder has a step other than Strip after Fuse", origin);
  }
  switch (step.kind) {
    case Kind::kByteLevel:
      return Unsupported("{}: decoder has ByteLevel, but pre_tokenizer has not", origin);
    case Kind::kFuse:
      fused = true;
      return {};
    case Kind::kByteFallback:
      steps_.push_back({Step::Kind::kByteFallback, {}, {}, {}});
      return {};
    case Kind::kStrip:
      if (!fused || step.content != " " || step.stop != 0) {
        return Unsupported(
            "{}: decoder Strip removes {} \"{}\" in front and {} at the end; handled are spaces in front, "
            "after "
            "Fuse",
            origin, step.start, step.content, step.stop);
      }
      plan_.leading_spaces += step.start;
      return {};
    case Kind::kMetaspace:
      plan_.first_token_no_spaces = step.prepend != SplitStep::Prepend::kNever;
      steps_.push_back({Step::Kind::kReplace, {step.content, false}, " ", {}});
      break;
    case Kind::kReplace:
      steps_.push_back({Step::Kind::kReplace, step.pattern, step.content, {}});
      break;
  }
  Step& replace = steps_.back();
  if (replace.pattern.text.empty()) return Unsupported("{}: decoder Replace has an empty pattern", origin);
  if (replace.pattern.is_regex) {
    QWEN25_TRY(replace.regex, Regex::Compile(replace.pattern.text, origin));
  }
  return {};
}

std::string TokenDecoder::TokenBytes(std::string_view text) const {
  std::string token(text), other;
  for (const Step& step : steps_) {
    if (step.kind == Step::Kind::kByteFallback) {
      const int byte = ByteOfSentencePiece(token);
      if (byte >= 0) return std::string(1, static_cast<char>(byte));
    } else {
      other.clear();
      AppendReplaced(token, step.pattern, step.regex ? &*step.regex : nullptr, step.content, other);
      token.swap(other);
    }
  }
  return token;
}

}  // namespace qwen25

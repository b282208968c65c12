#include "text/tokenizer.h"

#include <algorithm>
#include <mutex>
#include <unordered_map>

#include "text/added_tokens.h"
#include "text/bpe_encoder.h"
#include "text/piece_splitter.h"
#include "text/text_normalizer.h"
#include "text/token_decoder.h"
#include "text/utf8.h"

namespace qwen25 {
namespace {

// The buffers of one call of Encode.
struct EncodeBuffers {
  BpeEncoder::Scratch bpe;
  std::string repaired;
  std::string normalized;
};

// Keeps buffers between calls, so that words are remembered from one call to the next: as many as there have
// been calls at the same time.
class BufferPool {
 public:
  class Lease {
   public:
    explicit Lease(BufferPool& pool) : pool_(pool), buffers_(pool.Take()) {}
    ~Lease() { pool_.Return(std::move(buffers_)); }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    EncodeBuffers* operator->() { return buffers_.get(); }

   private:
    BufferPool& pool_;
    std::unique_ptr<EncodeBuffers> buffers_;
  };

 private:
  std::unique_ptr<EncodeBuffers> Take() {
    const std::lock_guard lock(mutex_);
    if (free_.empty()) return std::make_unique<EncodeBuffers>();
    auto buffers = std::move(free_.back());
    free_.pop_back();
    return buffers;
  }
  void Return(std::unique_ptr<EncodeBuffers> buffers) {
    const std::lock_guard lock(mutex_);
    free_.push_back(std::move(buffers));
  }

  std::mutex mutex_;
  std::vector<std::unique_ptr<EncodeBuffers>> free_;
};

// Which added tokens are recognised at each place of a text. A token must lie in one part as a whole.
class PartModes {
 public:
  // Appends a part of `bytes` bytes.
  void Add(size_t bytes, SpecialTokens special) {
    if (bytes == 0) return;
    const size_t end = this->bytes() + bytes;
    if (!parts_.empty() && parts_.back().special == special) {
      parts_.back().end = end;  // joined: a token may cross parts of one kind
    } else {
      parts_.push_back({end, special});
    }
  }
  size_t bytes() const { return parts_.empty() ? 0 : parts_.back().end; }

  bool RecognisesAny() const {
    return std::ranges::any_of(parts_,
                               [](const Part& part) { return part.special != SpecialTokens::kAsText; });
  }
  bool Recognises(size_t begin, size_t end, bool control) const {
    const auto part = PartAt(begin);
    return end <= part->end && (part->special == SpecialTokens::kParse ||
                                (part->special == SpecialTokens::kControlAsText && !control));
  }

  // The modes of text[begin, end) after normalisation. size_of(n) is the length of its first n bytes in
  // normalised form.
  template <typename SizeOf>
  PartModes Normalized(size_t begin, size_t end, SizeOf&& size_of) const {
    PartModes modes;
    for (auto part = PartAt(begin);; ++part) {
      const size_t size = size_of(std::min(part->end, end) - begin);
      modes.Add(size - std::min(size, modes.bytes()), part->special);
      if (part->end >= end) return modes;
    }
  }

 private:
  struct Part {
    size_t end;  // in the text
    SpecialTokens special;
  };
  std::vector<Part>::const_iterator PartAt(size_t begin) const {
    return std::ranges::upper_bound(parts_, begin, {}, &Part::end);
  }

  std::vector<Part> parts_;
};

}  // namespace

struct Tokenizer::State {
  State(TokenizerSpec given, BpeEncoder given_encoder, TextNormalizer given_normalizer,
        TokenDecoder given_decoder)
      : spec(std::move(given)),
        encoder(std::move(given_encoder)),
        normalizer(std::move(given_normalizer)),
        decoder(std::move(given_decoder)) {}

  TokenizerSpec spec;
  BpeEncoder encoder;
  TextNormalizer normalizer;
  TokenDecoder decoder;
  AddedTokenFinder raw_finder;                              // searched in the given text
  AddedTokenFinder normalized_finder;                       // searched in the normalised text
  std::unordered_map<std::string_view, int32_t> added_ids;  // by content
  std::string bytes;                                        // of all ids, end to end
  std::vector<size_t> offsets;                              // [vocab_size + 1] into `bytes`
  std::vector<bool> special;
  std::optional<int32_t> bos_id, eos_id, pad_id;
  mutable BufferPool pool;

  void BuildTokenBytes();
  void BuildAddedTokens();
  void ResolveRoles();
  void EncodeText(std::string_view text, const PartModes& modes, EncodeBuffers& buffers,
                  std::vector<int32_t>& ids) const;
  void EncodeStretch(std::string_view text, size_t begin, const PartModes& modes, EncodeBuffers& buffers,
                     std::vector<int32_t>& ids) const;
  std::optional<int32_t> Find(std::string_view token) const;
};

void Tokenizer::State::BuildTokenBytes() {
  const size_t size = VocabSize(spec);
  const bool byte_level = spec.model == BpeModel::kByteLevel;
  std::unordered_map<int32_t, std::string_view> others;  // texts of ids that are not in spec.tokens
  for (const auto& [id, text] : spec.foreign_tokens) others[id] = text;
  for (const AddedToken& added : spec.added_tokens) others[added.id] = added.content;
  offsets.assign(1, 0);
  offsets.reserve(size + 1);
  for (size_t id = 0; id < size; ++id) {
    const auto other = others.find(static_cast<int32_t>(id));
    if (other != others.end()) {
      // Their text is no byte alphabet, though Hugging Face's decoder takes it for that and breaks what is
      // not ASCII.
      bytes += byte_level ? std::string(other->second) : decoder.TokenBytes(other->second);
    } else if (id < spec.tokens.size()) {
      const std::string& token = spec.tokens[id];
      if (byte_level) {
        bytes += token;
      } else {
        bytes += decoder.TokenBytes(token);
      }
    }
    offsets.push_back(bytes.size());
  }
}

void Tokenizer::State::BuildAddedTokens() {
  special.assign(VocabSize(spec), false);
  std::vector<AddedTokenFinder::Pattern> raw, normalized;
  std::string buffer;
  for (const AddedToken& added : spec.added_tokens) {
    added_ids[added.content] = added.id;
    special[static_cast<size_t>(added.id)] = added.special;
    if (added.normalized) {
      std::string pattern(normalizer.Apply(added.content, buffer));
      normalized.push_back({std::move(pattern), added.id, IsControlToken(added), added.lstrip, added.rstrip,
                            added.single_word});
    } else {
      raw.push_back(
          {added.content, added.id, IsControlToken(added), added.lstrip, added.rstrip, added.single_word});
    }
  }
  raw_finder = AddedTokenFinder(std::move(raw));
  normalized_finder = AddedTokenFinder(std::move(normalized));
}

// A role's token need not be in the vocabulary (padding tokens often are not). It then gets no id here;
// transformers gives it a new one, which no model knows.
void Tokenizer::State::ResolveRoles() {
  const auto resolve = [&](const std::string& token) { return token.empty() ? std::nullopt : Find(token); };
  bos_id = resolve(spec.bos_token);
  eos_id = resolve(spec.eos_token);
  pad_id = resolve(spec.pad_token);
}

std::optional<int32_t> Tokenizer::State::Find(std::string_view token) const {
  const auto added = added_ids.find(token);
  if (added != added_ids.end()) return added->second;
  if (token.empty()) return std::nullopt;
  int32_t id = -1;
  if (spec.model == BpeModel::kByteLevel) {
    id = encoder.Find(token);
  } else {
    std::string text;
    for (const char c : token) c == ' ' ? text += kSpaceMark : text += c;
    id = encoder.Find(text);
    if (id < 0 && token.size() == 1) {
      id = encoder.Find(fmt::format("<0x{:02X}>", static_cast<unsigned char>(token[0])));
    }
  }
  return id < 0 ? std::nullopt : std::optional(id);
}

Result<Tokenizer> Tokenizer::FromSpec(TokenizerSpec spec, std::string_view origin) {
  QWEN25_RETURN_IF_ERROR(CheckSpec(spec, origin));
  QWEN25_TRY(BpeEncoder encoder, BpeEncoder::Create(spec, origin));
  QWEN25_TRY(TextNormalizer normalizer, TextNormalizer::Create(spec.normalizer, origin));
  QWEN25_TRY(TokenDecoder decoder, TokenDecoder::Create(spec, origin));
  auto state =
      std::make_shared<State>(std::move(spec), std::move(encoder), std::move(normalizer), std::move(decoder));
  state->BuildTokenBytes();
  state->BuildAddedTokens();
  state->ResolveRoles();
  return Tokenizer(std::move(state));
}

Result<Tokenizer> Tokenizer::FromByteLevelBpe(ByteLevelBpe parts) {
  constexpr std::string_view kOrigin = "byte-level BPE parts";
  TokenizerSpec spec;
  spec.pre_tokenizer = StepsOf(parts.pre_tokenizer);
  if (parts.nfc) spec.normalizer = NfcSteps();
  spec.tokens = std::move(parts.tokens);
  std::unordered_map<std::string_view, int32_t> id_of;
  for (size_t id = 0; id < spec.tokens.size(); ++id) id_of[spec.tokens[id]] = static_cast<int32_t>(id);
  const auto size = static_cast<int32_t>(spec.tokens.size());
  for (int byte = 0; byte < 256; ++byte) {
    if (id_of.contains(std::string(1, static_cast<char>(byte)))) continue;
    return InvalidArgument(
        "{}: no token for the byte 0x{:02X}; expected all 256 single bytes, so that every text has ids",
        kOrigin, byte);
  }
  for (const auto& [left, right] : parts.merges) {
    if (left < 0 || left >= size || right < 0 || right >= size) {
      return InvalidArgument("{}: merge {} joins the ids {} and {}, expected ids below {}", kOrigin,
                             spec.merges.size(), left, right, size);
    }
    const auto joined =
        id_of.find(spec.tokens[static_cast<size_t>(left)] + spec.tokens[static_cast<size_t>(right)]);
    if (joined == id_of.end()) {
      return InvalidArgument("{}: the result of merge {} is not in the vocabulary", kOrigin,
                             spec.merges.size());
    }
    spec.merges.push_back({left, right, joined->second});
  }
  for (std::string& content : parts.special_tokens) {
    const auto id = static_cast<int32_t>(spec.tokens.size() + spec.added_tokens.size());
    spec.added_tokens.push_back({.id = id, .content = std::move(content)});
  }
  spec.bos_token = std::move(parts.bos_token);
  spec.eos_token = std::move(parts.eos_token);
  spec.pad_token = std::move(parts.pad_token);
  spec.chat_template = std::move(parts.chat_template);
  Result<Tokenizer> built = FromSpec(std::move(spec), kOrigin);
  if (!built.ok()) return Status(StatusCode::kInvalidArgument, built.status().message());
  return built;
}

// `text` is well-formed and begins at `begin` in the text whose modes are given. The added tokens that are
// searched for before normalisation have been cut out of it.
void Tokenizer::State::EncodeStretch(std::string_view text, size_t begin, const PartModes& modes,
                                     EncodeBuffers& buffers, std::vector<int32_t>& ids) const {
  const std::string_view given = text;
  text = normalizer.Apply(text, buffers.normalized);
  if (normalized_finder.empty() || !modes.RecognisesAny()) {
    encoder.EncodeText(text, begin == 0, buffers.bpe, ids);
    return;
  }
  std::string prefix;
  const PartModes of_stretch = modes.Normalized(begin, begin + given.size(), [&](size_t size) {
    return size == given.size() ? text.size() : normalizer.Apply(given.substr(0, size), prefix).size();
  });
  normalized_finder.Split(
      text,
      [&](const AddedTokenFinder::Pattern& token, size_t at) {
        return of_stretch.Recognises(at, at + token.text.size(), token.control);
      },
      [&](std::string_view stretch) {
        encoder.EncodeText(stretch, begin == 0 && stretch.data() == text.data(), buffers.bpe, ids);
      },
      [&](int32_t id) { ids.push_back(id); });
}

void Tokenizer::State::EncodeText(std::string_view text, const PartModes& modes, EncodeBuffers& buffers,
                                  std::vector<int32_t>& ids) const {
  if (!modes.RecognisesAny()) {
    if (!text.empty()) EncodeStretch(text, 0, modes, buffers, ids);
    return;
  }
  raw_finder.Split(
      text,
      [&](const AddedTokenFinder::Pattern& token, size_t at) {
        return modes.Recognises(at, at + token.text.size(), token.control);
      },
      [&](std::string_view stretch) {
        EncodeStretch(stretch, static_cast<size_t>(stretch.data() - text.data()), modes, buffers, ids);
      },
      [&](int32_t id) { ids.push_back(id); });
}

void Tokenizer::Encode(std::string_view text, std::vector<int32_t>& ids, EncodeOptions options) const {
  const State& state = *state_;
  BufferPool::Lease buffers(state.pool);
  if (options.add_bos) ids.insert(ids.end(), state.spec.prefix_ids.begin(), state.spec.prefix_ids.end());
  if (!IsValidUtf8(text)) {
    buffers->repaired = RepairUtf8(text);
    text = buffers->repaired;
  }
  PartModes modes;
  modes.Add(text.size(), options.special);
  state.EncodeText(text, modes, *buffers.operator->(), ids);
  if (options.add_eos) ids.insert(ids.end(), state.spec.suffix_ids.begin(), state.spec.suffix_ids.end());
}

void Tokenizer::Encode(std::span<const TextPart> parts, std::vector<int32_t>& ids,
                       EncodeOptions options) const {
  const State& state = *state_;
  BufferPool::Lease buffers(state.pool);
  if (options.add_bos) ids.insert(ids.end(), state.spec.prefix_ids.begin(), state.spec.prefix_ids.end());
  PartModes modes;
  std::string text;
  for (const TextPart& part : parts) {
    text += IsValidUtf8(part.text) ? part.text : RepairUtf8(part.text);
    modes.Add(text.size() - modes.bytes(), part.special);
  }
  state.EncodeText(text, modes, *buffers.operator->(), ids);
  if (options.add_eos) ids.insert(ids.end(), state.spec.suffix_ids.begin(), state.spec.suffix_ids.end());
}

std::vector<int32_t> Tokenizer::Encode(std::string_view text, EncodeOptions options) const {
  std::vector<int32_t> ids;
  Encode(text, ids, options);
  return ids;
}

std::string Tokenizer::Decode(std::span<const int32_t> ids, bool skip_special) const {
  const TokenDecoder::Plan& plan = state_->decoder.plan();
  std::string out;
  bool first = true;
  for (const int32_t id : ids) {
    if (skip_special && IsSpecial(id)) continue;
    if (!first) out += plan.separator;
    out += TokenBytes(id);
    if (first && plan.first_token_no_spaces) std::erase(out, ' ');
    first = false;
  }
  out.erase(0, std::min(out.find_first_not_of(' '), std::min(plan.leading_spaces, out.size())));
  return IsValidUtf8(out) ? out : RepairUtf8(out);
}

std::string_view Tokenizer::TokenBytes(int32_t id) const {
  if (id < 0 || static_cast<size_t>(id) >= vocab_size()) return {};
  const size_t* offset = state_->offsets.data() + id;
  return std::string_view(state_->bytes).substr(offset[0], offset[1] - offset[0]);
}

std::optional<int32_t> Tokenizer::TokenId(std::string_view token) const {
  return state_->Find(token);
}

size_t Tokenizer::vocab_size() const {
  return state_->special.size();
}

bool Tokenizer::IsSpecial(int32_t id) const {
  return id >= 0 && static_cast<size_t>(id) < vocab_size() && state_->special[static_cast<size_t>(id)];
}

std::optional<int32_t> Tokenizer::bos_id() const {
  return state_->bos_id;
}
std::optional<int32_t> Tokenizer::eos_id() const {
  return state_->eos_id;
}
std::optional<int32_t> Tokenizer::pad_id() const {
  return state_->pad_id;
}
const TokenizerSpec& Tokenizer::spec() const {
  return state_->spec;
}

std::string StreamDecoder::Next(int32_t id) {
  if (skip_special_ && tokenizer_.IsSpecial(id)) return {};
  const TokenDecoder::Plan& plan = tokenizer_.state_->decoder.plan();
  std::string bytes(tokenizer_.TokenBytes(id));
  if (at_first_token_ && plan.first_token_no_spaces) std::erase(bytes, ' ');
  if (!at_first_token_) held_back_ += plan.separator;
  at_first_token_ = false;
  if (at_start_ && !bytes.empty()) {  // until the first character that is no space, or enough spaces
    const size_t spaces =
        std::min({bytes.find_first_not_of(' '), bytes.size(), plan.leading_spaces - spaces_});
    spaces_ += spaces;
    bytes.erase(0, spaces);
    at_start_ = bytes.empty() && spaces_ < plan.leading_spaces;
  }
  held_back_ += bytes;
  const size_t ready = held_back_.size() - IncompleteUtf8Suffix(held_back_);
  std::string out = RepairUtf8(std::string_view(held_back_).substr(0, ready));
  held_back_.erase(0, ready);
  return out;
}

std::string StreamDecoder::Finish() {
  std::string out = RepairUtf8(held_back_);
  held_back_.clear();
  at_start_ = at_first_token_ = true;
  spaces_ = 0;
  return out;
}

}  // namespace qwen25

// Text to token ids and back, exactly as Hugging Face `tokenizers` does it for BPE: from bytes (Qwen2.5,
// GPT-2, Llama 3 and their relatives) or from characters (Llama 2, Gemma). docs/formats/tokenizers.md says
// what is handled.
//
// The walk of Encode: repair UTF-8 -> cut out added tokens -> normalise -> pre-tokenize -> merge pairs.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "text/pre_tokenizer.h"
#include "text/tokenizer_spec.h"

namespace qwen25 {

enum class SpecialTokens {
  kParse,          // "<|im_end|>" in the text is the token: for templates
  kControlAsText,  // control tokens (IsControlToken) are ordinary characters; "<tool_call>" is the token
  kAsText,         // all added tokens are ordinary characters: for text that users typed, training data
};

// A part of a text that is encoded as one, and what is recognised inside it.
struct TextPart {
  std::string text;
  SpecialTokens special = SpecialTokens::kParse;
  bool operator==(const TextPart&) const = default;
};

struct EncodeOptions {
  SpecialTokens special = SpecialTokens::kParse;
  bool add_bos = false;  // what the file's post-processor template puts before a sequence (Llama: <s>)
  bool add_eos = false;  // and after it
};

// The parts of a tokenizer that a training run made.
struct ByteLevelBpe {
  std::vector<std::string> tokens;                  // bytes of each id; every single byte must be among them
  std::vector<std::pair<int32_t, int32_t>> merges;  // lowest rank first; each concatenation must be a token
  std::vector<std::string> special_tokens;          // get the ids after `tokens`, in this order
  PreTokenizerKind pre_tokenizer = PreTokenizerKind::kQwen2;
  bool nfc = true;
  std::string bos_token, eos_token, pad_token;  // among special_tokens, or empty
  std::string chat_template;                    // Jinja source, or empty
};

// Immutable, cheap to copy (copies share the tables), safe to use from many threads at once.
class Tokenizer {
 public:
  // Reads a Hugging Face folder (tokenizer.json, else vocab.json + merges.txt; tokenizer_config.json,
  // special_tokens_map.json, added_tokens.json and chat_template.jinja if present), or a tokenizer.json
  // itself. kCorrupt for contradictory or malformed content, kUnsupported for kinds of tokenizers that this
  // program does not have; the message names file, field, what was found and what is handled.
  static Result<Tokenizer> Load(const std::filesystem::path& path);
  // kInvalidArgument if the parts do not fit together.
  static Result<Tokenizer> FromByteLevelBpe(ByteLevelBpe parts);
  // Checks the spec (kCorrupt, naming `origin`) and builds the tables.
  static Result<Tokenizer> FromSpec(TokenizerSpec spec, std::string_view origin);

  // Writes tokenizer.json and tokenizer_config.json (with the chat template), and for byte-level vocabularies
  // vocab.json and merges.txt. Each file is replaced atomically; Load, Hugging Face tokenizers and
  // transformers read the folder. The folder is created if it is missing.
  Status Save(const std::filesystem::path& directory) const;

  // Appends the ids of `text` to `ids`. Ill-formed UTF-8 is encoded as its repaired form (utf8.h).
  void Encode(std::string_view text, std::vector<int32_t>& ids, EncodeOptions options = {}) const;
  void Encode(std::string_view text, std::vector<int32_t>& ids, SpecialTokens special) const {
    Encode(text, ids, EncodeOptions{.special = special});
  }
  std::vector<int32_t> Encode(std::string_view text, EncodeOptions options = {}) const;
  // Appends the ids of the parts as one text: pieces and merges cross their boundaries. An added token is
  // found if one part holds all of it and recognises it. `options.special` plays no part.
  void Encode(std::span<const TextPart> parts, std::vector<int32_t>& ids, EncodeOptions options = {}) const;

  // The text of `ids`, ill-formed bytes repaired: Decode(Encode(t)) is the normalised, repaired t. Ids
  // outside the vocabulary give nothing. Spaces at the beginning that the decoder's steps take for a prefix
  // are removed.
  std::string Decode(std::span<const int32_t> ids, bool skip_special = false) const;

  // The bytes that `id` stands for, not necessarily whole characters: " the", "\xE4\xBD". Empty for unused
  // ids. Sentencepiece: "\u2581" is a space here and <0x0A> a newline.
  std::string_view TokenBytes(int32_t id) const;
  // The id of exactly these bytes (an added token's content, else TokenBytes of a vocabulary entry).
  std::optional<int32_t> TokenId(std::string_view token) const;

  // All ids are below this, added tokens included. Embeddings may have more rows (padding), never fewer.
  size_t vocab_size() const;
  bool IsSpecial(int32_t id) const;
  std::optional<int32_t> bos_id() const;
  std::optional<int32_t> eos_id() const;
  std::optional<int32_t> pad_id() const;
  const TokenizerSpec& spec() const;

 private:
  friend class StreamDecoder;
  struct State;
  explicit Tokenizer(std::shared_ptr<const State> state) : state_(std::move(state)) {}

  std::shared_ptr<const State> state_;
};

// Turns ids into text one at a time: characters that are spread over several tokens come out whole, when
// their last byte is there. All that Next and Finish returned, joined, is Decode of the same ids.
class StreamDecoder {
 public:
  explicit StreamDecoder(Tokenizer tokenizer, bool skip_special = false)
      : tokenizer_(std::move(tokenizer)), skip_special_(skip_special) {}

  // The text that `id` completes; often empty inside a character.
  std::string Next(int32_t id);
  // What is left of an incomplete character, repaired. Resets the decoder.
  std::string Finish();

 private:
  Tokenizer tokenizer_;
  bool skip_special_;
  bool at_first_token_ = true;
  bool at_start_ = true;  // spaces may still have to be removed
  size_t spaces_ = 0;     // that have been
  std::string held_back_;
};

}  // namespace qwen25

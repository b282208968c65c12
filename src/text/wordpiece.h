// The tokenizer of BERT and its family: words, cut into the longest pieces that the vocabulary has.
//
// The walk of Encode: repair UTF-8 -> cut out added tokens -> normalise (bert_normalizer.h) -> split at white
// space and around punctuation -> longest match from the left, equal to Hugging Face `tokenizers`.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "text/added_tokens.h"
#include "text/bert_normalizer.h"
#include "text/bpe_tables.h"
#include "text/tokenizer.h"

namespace qwen25 {

// Everything that defines such a tokenizer, as plain data.
struct WordPieceSpec {
  // The vocabulary by id; empty for unused ids. A piece that goes on with a word begins with
  // `continuation`.
  std::vector<std::string> tokens;
  std::string continuation = "##";
  size_t max_word_characters = 100;  // a longer word is one unknown token
  BertNormalizerOptions normalizer;
  std::vector<AddedToken> added_tokens;
  // Contents of tokens: unknown words, and what a model expects around a text. "cls" is empty if nothing goes
  // before it, "sep" if nothing goes after it.
  std::string unk_token = "[UNK]", cls_token = "[CLS]", sep_token = "[SEP]";
};

// Immutable, safe to use from many threads at once.
class WordPieceTokenizer {
 public:
  // Reads a Hugging Face folder: tokenizer.json, or else vocab.txt; tokenizer_config.json, if present, has
  // the last word on lower case, accents and Chinese characters, as for transformers. kUnsupported names a
  // component that is not BERT's, kCorrupt what contradicts itself; messages name file and field.
  static Result<WordPieceTokenizer> Load(const std::filesystem::path& directory);
  // Checks the spec (kCorrupt, naming `origin`) and builds the tables.
  static Result<WordPieceTokenizer> FromSpec(WordPieceSpec spec, std::string_view origin);

  // Appends the ids of `text`, without the tokens around it. With SpecialTokens::kAsText, added tokens
  // ("[SEP]") are ordinary characters; kControlAsText makes only the special ones such. Ill-formed UTF-8 is
  // encoded as its repaired form (utf8.h).
  void Encode(std::string_view text, std::vector<int32_t>& ids,
              SpecialTokens special = SpecialTokens::kParse) const;

  // All ids are below this, added tokens included.
  size_t vocab_size() const { return vocab_size_; }
  int32_t unk_id() const { return unk_id_; }
  // What goes around a text: no id or one, each.
  const std::vector<int32_t>& prefix_ids() const { return prefix_ids_; }
  const std::vector<int32_t>& suffix_ids() const { return suffix_ids_; }
  const WordPieceSpec& spec() const { return spec_; }

 private:
  WordPieceTokenizer() = default;
  Status Build(std::string_view origin);
  Result<int32_t> IdOf(std::string_view token, std::string_view role, std::string_view origin) const;
  void EncodeNormalized(std::string_view text, std::vector<int32_t>& ids) const;
  void EncodeWord(std::string_view word, size_t num_characters, std::vector<int32_t>& ids) const;

  WordPieceSpec spec_;
  PieceTable words_, continuations_;                    // text, without the mark of a continuation, -> id
  size_t longest_word_ = 0, longest_continuation_ = 0;  // in bytes
  AddedTokenFinder raw_, normalized_;
  size_t vocab_size_ = 0;
  int32_t unk_id_ = 0;
  std::vector<int32_t> prefix_ids_, suffix_ids_;
};

// tokenizer.json's content.
Result<WordPieceSpec> ParseWordPieceJson(std::string_view json, std::string_view origin);
// vocab.txt's content: a token per line, in the order of ids.
Result<WordPieceSpec> ParseWordPieceVocab(std::string_view text, std::string_view origin);
// Sets what tokenizer_config.json states: lower case, accents, Chinese characters, and, unless
// `template_stated`, the names of the special tokens.
Status ApplyWordPieceConfig(const Json& config, std::string_view origin, bool template_stated,
                            WordPieceSpec& spec);

}  // namespace qwen25

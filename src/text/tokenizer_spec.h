// Everything that defines a tokenizer, as plain data. The readers of file formats produce it, Tokenizer is
// built from it, and Save writes it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "text/tokenizer_steps.h"

namespace qwen25 {

// Limits. What exceeds them is refused before memory is allocated for it. The largest published vocabularies
// have some 260,000 entries.
inline constexpr int32_t kMaxTokenId = (1 << 21) - 2;
inline constexpr size_t kMaxMerges = (size_t{1} << 21) - 1;
inline constexpr size_t kMaxTokenBytes = 1 << 16;

// A token that is found in the text itself, before any other step.
struct AddedToken {
  int32_t id = -1;
  std::string content;
  bool special = true;       // left out by Decode(.., skip_special)
  bool normalized = false;   // searched for in the normalised text instead of the given one
  bool lstrip = false;       // takes in the white space before it
  bool rstrip = false;       // and after it
  bool single_word = false;  // not found inside a word
};

// Whether a token steers a model instead of standing for text: special tokens, and those written "<|...|>",
// which some files do not mark as special (Qwen2.5's "<|fim_prefix|>"). llama.cpp calls the same tokens
// control tokens. "<tool_call>" is not one.
bool IsControlToken(const AddedToken& token);

enum class BpeModel {
  // Merges start from the bytes of a piece (GPT-2, Qwen2.5): the pre-tokenizer has the step kByteLevel.
  kByteLevel,
  // Merges start from the code points of a piece (Llama 2, Gemma). With byte_fallback, those that are no
  // token
  // become their bytes <0x00>..<0xFF>.
  kCharacters,
};

struct TokenizerSpec {
  BpeModel model = BpeModel::kByteLevel;
  std::vector<NormalizerStep> normalizer;
  std::vector<SplitStep> pre_tokenizer;
  std::vector<DecoderStep> decoder;  // empty with kByteLevel: as kByteLevel
  bool ignore_merges = false;        // a piece that is a token is that token, whatever the merges make of it
  bool byte_fallback = false;        // of kCharacters
  bool fuse_unk = true;              // neighbouring unknown symbols are one unknown token
  // What a code point or byte becomes that has no token, neither of its own nor by its bytes. kByteLevel: if
  // there is none, such a byte disappears.
  std::optional<int32_t> unk_id;

  // The vocabulary by id; empty for ids that only added tokens have, and for unused ids. kByteLevel: the
  // bytes of the token. kCharacters: its text as in the file ("\u2581the", "<0x0A>").
  std::vector<std::string> tokens;
  // Ids of kByteLevel whose text in the file is outside the byte alphabet: never met in text, kept for Save.
  std::vector<std::pair<int32_t, std::string>> foreign_tokens;
  struct Merge {
    int32_t left;
    int32_t right;
    int32_t result;
  };
  std::vector<Merge> merges;  // lowest rank first
  // By rank, ascending: merges of the same group are done leftmost first, whatever their rank. Empty: each
  // merge is a group of its own. (Vocabularies with scores have one score for all merges into a token.)
  std::vector<uint32_t> merge_groups;
  std::vector<AddedToken> added_tokens;

  // What the post-processor's template puts around one sequence; added only on request.
  std::vector<int32_t> prefix_ids;
  std::vector<int32_t> suffix_ids;
  // The post-processor as tokenizer.json has it, for Save; null: Save makes one from these ids.
  Json post_processor = {};

  std::string remark;  // for the user, a sentence: what was assumed where the file did not say; or empty

  // Roles, as contents of tokens; empty: none. From tokenizer_config.json.
  std::string bos_token;
  std::string eos_token;
  std::string pad_token;
  std::string unk_token;      // unk_id says whether the model uses it
  std::string chat_template;  // Jinja source; empty: none
  // Further tokens that a GGUF file says end a turn (eot) or a message (eom); not written.
  std::vector<int32_t> turn_end_ids;
  // tokenizer_config.json as it was read, or an empty object: keys that nothing here interprets are kept by
  // Save; the roles, the template and the added tokens are written from the fields above.
  Json config = Json::object();
};

// Sentencepiece's space, U+2581.
inline constexpr std::string_view kSpaceMark = "\xE2\x96\x81";

// The published expressions of the pre-tokenizers, as tokenizer.json holds them.
inline constexpr std::string_view kQwen2Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|)"
    R"(\s*[\r\n]+|\s+(?!\S)|\s+)";
inline constexpr std::string_view kLlama3Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|)"
    R"(\s*[\r\n]+|\s+(?!\S)|\s+)";
inline constexpr std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

// The normalizer that is NFC and nothing else, and that of Llama 2: "\u2581" before the text and for every
// space.
std::vector<NormalizerStep> NfcSteps();
std::vector<NormalizerStep> SpaceMarkSteps(bool prepend = true);
// Llama 2's decoder: spaces for "\u2581", bytes for <0x00>..<0xFF>, without the space that was put in front.
std::vector<DecoderStep> SpaceMarkDecoder(bool strip = true);

// Ids are below this.
size_t VocabSize(const TokenizerSpec& spec);

// kCorrupt, naming `origin`, if the parts contradict each other or leave text without an encoding. Whether
// two tokens have the same text is found when the tables are built (Tokenizer::FromSpec).
Status CheckSpec(const TokenizerSpec& spec, std::string_view origin);

// The byte of "<0x00>".."<0xFF>", or -1.
int ByteOfSentencePiece(std::string_view token);

// GPT-2's byte alphabet, in which files of byte-level vocabularies are written: printable bytes of Latin-1
// are themselves, the other 68 are U+0100.. in order. (A space is U+0120.)
std::string BytesToAlphabet(std::string_view bytes);
// False if `text` has a code point outside the alphabet; `bytes` is then unspecified.
bool AlphabetToBytes(std::string_view text, std::string& bytes);

}  // namespace qwen25

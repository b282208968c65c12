// The steps around the model of a tokenizer, as plain data: what tokenizer.json calls normalizer,
// pre_tokenizer and decoder, each a list of steps that are done in order.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace qwen25 {

// What a step looks for: these very characters, or a regular expression (regex.h).
struct TextPattern {
  std::string text;
  bool is_regex = false;
  bool operator==(const TextPattern&) const = default;
};

// One step of the normalizer. Each works on the text between added tokens.
struct NormalizerStep {
  enum class Kind { kNfc, kNfd, kNfkc, kNfkd, kLowercase, kStripAccents, kStrip, kPrepend, kReplace };
  Kind kind = Kind::kNfc;
  TextPattern pattern = {};        // of kReplace
  std::string content = {};        // of kReplace and kPrepend
  bool left = true, right = true;  // of kStrip: at which ends
  bool operator==(const NormalizerStep&) const = default;
};

// What becomes of the matches that a step finds, and of what is between them.
enum class SplitBehavior {
  kRemoved,             // matches disappear
  kIsolated,            // each match is a piece, and so is what is between two
  kMergedWithPrevious,  // a match ends the piece before it
  kMergedWithNext,      // a match begins the piece after it
  kContiguous           // neighbouring matches are one piece
};

// One step of the pre-tokenizer: cuts every piece that the steps before made.
struct SplitStep {
  enum class Kind {
    kByteLevel,        // GPT-2's pattern if use_regex; from here on, pieces are bytes
    kPattern,          // `pattern`, by `behavior`
    kDigits,           // numbers, isolated: each one if `individual`, else runs
    kPunctuation,      // characters of punctuation, by `behavior`
    kWhitespace,       // keeps \w+ and [^\w\s]+
    kWhitespaceSplit,  // keeps what is between white space
    kBert,             // the same, and isolates punctuation
    kDelimiter,        // keeps what is between the characters `pattern`
    kMetaspace         // `replacement` for every space and, by `prepend`, in front
  };
  enum class Prepend { kAlways, kFirst, kNever };  // kFirst: at the beginning of the text only
  Kind kind = Kind::kByteLevel;
  TextPattern pattern = {};
  SplitBehavior behavior = SplitBehavior::kIsolated;
  bool invert = false;            // matches are what is between the matches
  bool individual = false;        // of kDigits
  bool add_prefix_space = false;  // of kByteLevel: before each piece that has none
  bool use_regex = true;          // of kByteLevel
  bool trim_offsets = true;       // of kByteLevel: kept for Save, changes no ids
  std::string replacement = {};   // of kMetaspace
  Prepend prepend = Prepend::kAlways;
  bool cuts = true;  // of kMetaspace: begins a piece at every replacement
  bool operator==(const SplitStep&) const = default;
};

// One step of the decoder.
struct DecoderStep {
  enum class Kind {
    kByteLevel,     // tokens are bytes in GPT-2's alphabet
    kReplace,       // in every token
    kByteFallback,  // <0x0A> is the byte
    kFuse,          // the steps after it work on the whole text
    kStrip,         // removes up to `start` of `content` in front
    kMetaspace      // `content` is a space; in the first token it is nothing, unless `prepend` is kNever
  };
  Kind kind = Kind::kByteLevel;
  TextPattern pattern = {};  // of kReplace
  std::string content = {};
  size_t start = 0, stop = 0;  // of kStrip; `stop` is 0 in all that is handled
  SplitStep::Prepend prepend = SplitStep::Prepend::kAlways;
  bool cuts = true;  // kept for Save
  bool operator==(const DecoderStep&) const = default;
};

}  // namespace qwen25

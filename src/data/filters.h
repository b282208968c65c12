// What a text must be to enter the corpus: decoded, cleaned, and good enough to learn from. Nothing is
// dropped or changed without being counted under a reason.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace qwen25 {

// Why a file or document is not in the corpus. The names are part of curate_report.json: never rename.
enum class DropReason {
  kUnreadable,     // the operating system refused
  kTooLarge,       // the file, or what its archive unpacks to, is over the limit
  kBadArchive,     // damaged compressed data
  kBadJson,        // a line of JSONL without a "text"
  kBinary,         // NUL bytes, UTF-16, or mostly control characters
  kBadEncoding,    // neither UTF-8 nor Latin-1, beyond repair
  kTooShort,       // less text than FilterOptions::min_bytes after cleaning
  kLongLines,      // minified code, encoded data
  kTable,          // generated tables of numbers
  kFewLetters,     // drawings, rules, punctuation
  kRepeatedLines,  // the same lines again and again
  kDuplicate,      // the same text as an earlier document
  kNearDuplicate,  // most paragraphs were in earlier documents
  kCount,
};
inline constexpr size_t kNumDropReasons = static_cast<size_t>(DropReason::kCount);
const char* DropReasonName(DropReason reason);

// What cleaning changed. The names are part of curate_report.json.
enum class Repair {
  kLatin1,              // decoded from ISO-8859-1
  kInvalidUtf8,         // some bytes replaced by U+FFFD
  kControl,             // control characters, byte order marks, overstruck letters removed
  kLineEnds,            // CR LF or CR made LF
  kSpace,               // trailing spaces, runs of blank lines
  kLicenseHeader,       // leading licence comment removed
  kRepeatedParagraphs,  // paragraphs that earlier documents hold
  kCount,
};
inline constexpr size_t kNumRepairs = static_cast<size_t>(Repair::kCount);
const char* RepairName(Repair repair);

// The limits are measured on the text after cleaning. Shares are of bytes unless another unit is named.
struct FilterOptions {
  uint64_t min_bytes = 200;
  bool strip_license_headers = false;  // drop a leading comment that holds a licence
  double max_invalid_share = 0.005;    // ill-formed bytes of the raw text that are repaired, not refused
  double max_control_share = 0.02;     // control characters of the raw text, before it counts as binary
  size_t max_line_bytes = 1000;        // longer lines count as long
  double max_long_line_share = 0.2;    // in long lines
  double max_table_share = 0.5;        // in lines that are mostly numbers
  double min_letter_share = 0.4;       // letters among the characters that are not spaces
  // Gopher's duplicate-line rule (arXiv:2112.11446, table A1) counts all lines. Source code repeats short
  // ones (`}`, `else:`) by nature, so here only lines of at least repeated_line_bytes, without indentation,
  // count, and the limit is a share of those.
  size_t repeated_line_bytes = 20;
  double max_repeated_line_share = 0.3;  // in lines that repeat an earlier line
};

// Bytes taken away, or replaced, by each repair; 0: it was not needed.
using RepairBytes = std::array<uint64_t, kNumRepairs>;

// Makes `text` well-formed UTF-8. If it is not yet, it is decoded from Latin-1 (if no byte above 0x7F belongs
// to a UTF-8 sequence or is a control character of Latin-1), or a few ill-formed bytes are replaced. Leaves
// `text` alone if it returns a reason.
std::optional<DropReason> DecodeText(const FilterOptions& options, std::string& text, RepairBytes& repairs);

// Cleans up line ends, control characters (tab and new-line stay, a form feed becomes a new-line),
// overstrikes (letter, backspace, letter) and trailing spaces. Leaves at most two blank lines in a row, none
// at either end, and one new-line at the end. `text` is well-formed UTF-8, before and after.
void CleanText(const FilterOptions& options, std::string& text, RepairBytes& repairs);

// The first rule that a cleaned text breaks; nothing if it is good enough.
std::optional<DropReason> JudgeText(const FilterOptions& options, std::string_view text);

}  // namespace qwen25

#include "data/filters.h"

#include <algorithm>
#include <cctype>
#include <span>
#include <unordered_set>
#include <utility>

#include "base/hash.h"
#include "text/utf8.h"

namespace qwen25 {
namespace {

constexpr const char* kDropReasonNames[kNumDropReasons] = {
    "unreadable", "too_large", "bad_archive", "bad_json",       "binary",    "bad_encoding",   "too_short",
    "long_lines", "table",     "few_letters", "repeated_lines", "duplicate", "near_duplicate",
};
constexpr const char* kRepairNames[kNumRepairs] = {
    "latin1", "invalid_utf8", "control", "line_ends", "space", "license_header", "repeated_paragraphs",
};
constexpr size_t kMaxBlankLines = 2;  // Python separates functions by two
constexpr size_t kMinTableChars = 8;  // shorter lines say nothing about tables
constexpr double kTableLineShare = 0.6;

uint64_t& BytesOf(RepairBytes& repairs, Repair repair) {
  return repairs[static_cast<size_t>(repair)];
}

bool IsStrayControl(unsigned char c) {
  return (c < 0x20 && c != '\t' && c != '\n' && c != '\r' && c != '\f' && c != '\b' && c != 0x1B) ||
         c == 0x7F;
}

// Letters above ASCII count by their lead byte.
bool IsLetter(unsigned char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c >= 0xC0;
}

std::string_view TakeLine(std::string_view& rest) {
  const size_t end = std::min(rest.find('\n'), rest.size());
  const std::string_view line = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return line;
}

// The line without overstrikes and control characters; its bytes end up at the end of `out`.
void AppendWithoutControls(std::string_view line, std::string& out, RepairBytes& repairs) {
  const size_t begin = out.size();
  for (size_t i = 0; i < line.size(); ++i) {
    const auto c = static_cast<unsigned char>(line[i]);
    if (c >= 0x20 && c != 0x7F) {
      out += line[i];
    } else if (c == '\t') {
      out += '\t';
    } else if (c == '\b') {  // what it overstrikes goes too, a whole code point
      while (out.size() > begin && (static_cast<unsigned char>(out.back()) & 0xC0) == 0x80) out.pop_back();
      if (out.size() > begin) out.pop_back();
    } else if (c == 0x1B && i + 1 < line.size() &&
               line[i + 1] == '[') {  // terminal colours: ESC [ ... letter
      i += 2;
      while (i < line.size() && static_cast<unsigned char>(line[i]) >= 0x20 &&
             static_cast<unsigned char>(line[i]) < 0x40)
        ++i;
      // A byte that cannot end the sequence is text.
      if (i < line.size() &&
          (static_cast<unsigned char>(line[i]) < 0x40 || static_cast<unsigned char>(line[i]) > 0x7E))
        --i;
    }
  }
  BytesOf(repairs, Repair::kControl) += line.size() - std::min(line.size(), out.size() - begin);
}

// The length of a leading comment that holds a licence (a block comment, or a run of lines with one
// line-comment marker); 0 if there is none.
size_t LicenseHeaderBytes(std::string_view text) {
  size_t end = 0;
  if (text.starts_with("#!"))
    end = std::min(text.find('\n'), text.size() - 1) + 1;  // kept with the rest if no licence follows
  const size_t begin = std::min(text.find_first_not_of(" \n", end), text.size());
  std::string_view rest = text.substr(begin);
  if (rest.starts_with("/*")) {
    const size_t close = rest.find("*/");
    if (close == std::string_view::npos) return 0;
    rest = rest.substr(0, close + 2);
  } else {
    const std::string_view marker = rest.starts_with("//") ? "//" : rest.starts_with("#") ? "#" : "";
    if (marker.empty()) return 0;
    std::string_view lines = rest;
    while (!lines.empty() && lines.starts_with(marker)) TakeLine(lines);
    rest = rest.substr(0, rest.size() - lines.size());
  }
  const bool license =
      rest.find("icense") != std::string_view::npos || rest.find("icence") != std::string_view::npos ||
      rest.find("LICENSE") != std::string_view::npos || rest.find("opyright") != std::string_view::npos;
  return license ? begin + rest.size() : 0;
}

// Whether most of the line is numbers: tokens that begin with a digit, or hexadecimal ones that hold a digit.
bool IsTableLine(std::string_view line) {
  size_t alnum = 0, numeric = 0;
  for (size_t i = 0; i < line.size();) {
    if (!std::isalnum(static_cast<unsigned char>(line[i]))) {
      ++i;
      continue;
    }
    const size_t begin = i;
    bool digit = false, hex = true;
    for (; i < line.size() && std::isalnum(static_cast<unsigned char>(line[i])); ++i) {
      digit |= line[i] >= '0' && line[i] <= '9';
      hex &= std::isxdigit(static_cast<unsigned char>(line[i])) != 0;
    }
    alnum += i - begin;
    if (digit && (hex || (line[begin] >= '0' && line[begin] <= '9'))) numeric += i - begin;
  }
  return alnum >= kMinTableChars &&
         static_cast<double>(numeric) > kTableLineShare * static_cast<double>(alnum);
}

}  // namespace

const char* DropReasonName(DropReason reason) {
  return kDropReasonNames[static_cast<size_t>(reason)];
}

const char* RepairName(Repair repair) {
  return kRepairNames[static_cast<size_t>(repair)];
}

std::optional<DropReason> DecodeText(const FilterOptions& options, std::string& text, RepairBytes& repairs) {
  const double size = static_cast<double>(text.size());
  size_t controls = 0;
  for (const char c : text) {
    if (c == '\0') return DropReason::kBinary;
    controls += IsStrayControl(static_cast<unsigned char>(c));
  }
  if (text.starts_with("\xFF\xFE") || text.starts_with("\xFE\xFF")) return DropReason::kBinary;  // UTF-16
  if (static_cast<double>(controls) > options.max_control_share * size) return DropReason::kBinary;
  if (IsValidUtf8(text)) return std::nullopt;

  size_t invalid = 0, multibyte = 0, c1 = 0;
  for (const char *p = text.data(), *end = p + text.size(); p < end;) {
    const DecodedCodePoint decoded = DecodeCodePoint(p, end);
    invalid += decoded.valid ? 0 : decoded.bytes;
    multibyte += decoded.valid && decoded.bytes > 1;
    c1 += !decoded.valid && static_cast<unsigned char>(*p) < 0xA0;  // no letters in Latin-1
    p += decoded.bytes;
  }
  if (multibyte == 0 && c1 == 0) {
    std::string utf8;
    for (const char c : text) AppendUtf8(static_cast<unsigned char>(c), utf8);
    BytesOf(repairs, Repair::kLatin1) += invalid;
    text = std::move(utf8);
    return std::nullopt;
  }
  if (static_cast<double>(invalid) > options.max_invalid_share * size) return DropReason::kBadEncoding;
  BytesOf(repairs, Repair::kInvalidUtf8) += invalid;
  text = RepairUtf8(text);
  return std::nullopt;
}

void CleanText(const FilterOptions& options, std::string& text, RepairBytes& repairs) {
  std::string lines;  // with LF only
  lines.reserve(text.size());
  std::string_view source = text;
  if (source.starts_with("\xEF\xBB\xBF")) {
    source.remove_prefix(3);
    BytesOf(repairs, Repair::kControl) += 3;
  }
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r' || source[i] == '\f') {
      const bool crlf = source[i] == '\r' && i + 1 < source.size() && source[i + 1] == '\n';
      if (!crlf) lines += '\n';
      ++BytesOf(repairs, source[i] == '\r' ? Repair::kLineEnds : Repair::kControl);
    } else {
      lines += source[i];
    }
  }

  std::string out;
  out.reserve(lines.size() + 1);
  size_t blank_lines = 0;
  for (std::string_view rest = lines; !rest.empty();) {
    const std::string_view line = TakeLine(rest);
    const size_t begin = out.size();
    const uint64_t controls = BytesOf(repairs, Repair::kControl);
    // The blank lines kept so far stand before this one.
    const size_t kept_blank = begin == 0 ? 0 : std::min(blank_lines, kMaxBlankLines);
    out.append(kept_blank, '\n');
    const size_t text_begin = out.size();
    AppendWithoutControls(line, out, repairs);
    const size_t removed = static_cast<size_t>(BytesOf(repairs, Repair::kControl) - controls);
    while (out.size() > text_begin && (out.back() == ' ' || out.back() == '\t')) out.pop_back();
    BytesOf(repairs, Repair::kSpace) +=
        line.size() - std::min(line.size(), removed + (out.size() - text_begin));
    if (out.size() == text_begin) {
      out.resize(begin);
      ++blank_lines;
      continue;
    }
    BytesOf(repairs, Repair::kSpace) += blank_lines - kept_blank;
    blank_lines = 0;
    out += '\n';
  }
  BytesOf(repairs, Repair::kSpace) += blank_lines;
  if (options.strip_license_headers) {
    if (const size_t header = LicenseHeaderBytes(out); header > 0) {
      const size_t next = std::min(out.find_first_not_of('\n', header), out.size());
      BytesOf(repairs, Repair::kLicenseHeader) += next;
      out.erase(0, next);
    }
  }
  text = std::move(out);
}

std::optional<DropReason> JudgeText(const FilterOptions& options, std::string_view text) {
  if (text.size() < std::max<uint64_t>(options.min_bytes, 1)) return DropReason::kTooShort;
  size_t letters = 0, visible = 0;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    visible += byte > ' ' && (byte & 0xC0) != 0x80;
    letters += IsLetter(byte);
  }
  size_t long_bytes = 0, table_bytes = 0, counted_bytes = 0, repeated_bytes = 0;
  std::unordered_set<uint64_t> seen;
  for (std::string_view rest = text; !rest.empty();) {
    std::string_view line = TakeLine(rest);
    if (line.size() > options.max_line_bytes) long_bytes += line.size();
    if (IsTableLine(line)) table_bytes += line.size();
    line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
    if (line.size() < options.repeated_line_bytes) continue;
    counted_bytes += line.size();
    if (!seen.insert(Hash64(std::as_bytes(std::span(line)))).second) repeated_bytes += line.size();
  }
  const auto above = [](size_t part, double share, size_t whole) {
    return static_cast<double>(part) > share * static_cast<double>(whole);
  };
  if (above(long_bytes, options.max_long_line_share, text.size())) return DropReason::kLongLines;
  if (above(table_bytes, options.max_table_share, text.size())) return DropReason::kTable;
  if (!above(letters, options.min_letter_share, visible)) return DropReason::kFewLetters;
  if (above(repeated_bytes, options.max_repeated_line_share, counted_bytes))
    return DropReason::kRepeatedLines;
  return std::nullopt;
}

}  // namespace qwen25

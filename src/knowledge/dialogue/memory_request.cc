#include "knowledge/dialogue/memory_request.h"

#include <unicode/uchar.h>

#include <optional>
#include <vector>

#include "knowledge/chunker.h"
#include "text/utf8.h"

namespace qwen25 {
namespace {

using Kind = MemoryRequest::Kind;

struct Phrase {
  Kind kind;
  const char* text;  // lower case
};
// In a phrase, a space matches any white space; a comma may be missing or full-width; a colon may be
// full-width, or follow spaces; an apostrophe may be typographic.
constexpr Phrase kPhrases[] = {
    {Kind::kRemember, "remember that"},
    {Kind::kRemember, "remember:"},
    {Kind::kRemember, "remember this:"},
    {Kind::kRemember, "remember the following:"},
    {Kind::kRemember, "don't forget that"},
    {Kind::kRemember, "do not forget that"},
    {Kind::kRemember, "make a note that"},
    {Kind::kForget, "forget that"},
    {Kind::kForget, "forget:"},
    {Kind::kForget, "forget what i said about"},
    {Kind::kForget, "forget what i told you about"},
    // German
    {Kind::kRemember, "merk dir, dass"},
    {Kind::kRemember, "merke dir, dass"},
    {Kind::kRemember, "merk dir:"},
    {Kind::kRemember, "merke dir:"},
    {Kind::kRemember, "vergiss nicht, dass"},
    {Kind::kForget, "vergiss, dass"},
    {Kind::kForget, "vergiss:"},
    {Kind::kForget, "vergiss, was ich über"},
    // French
    {Kind::kRemember, "souviens-toi que"},
    {Kind::kRemember, "souviens-toi qu'"},
    {Kind::kRemember, "souviens-toi:"},
    {Kind::kRemember, "rappelle-toi que"},
    {Kind::kRemember, "rappelle-toi qu'"},
    {Kind::kRemember, "retiens que"},
    {Kind::kRemember, "retiens qu'"},
    {Kind::kRemember, "retiens:"},
    {Kind::kRemember, "n'oublie pas que"},
    {Kind::kRemember, "n'oublie pas qu'"},
    {Kind::kForget, "oublie que"},
    {Kind::kForget, "oublie qu'"},
    {Kind::kForget, "oublie:"},
    // Spanish
    {Kind::kRemember, "recuerda que"},
    {Kind::kRemember, "recuerda:"},
    {Kind::kRemember, "no olvides que"},
    {Kind::kForget, "olvida que"},
    {Kind::kForget, "olvida:"},
    // Italian
    {Kind::kRemember, "ricorda che"},
    {Kind::kRemember, "ricordati che"},
    {Kind::kRemember, "ricorda:"},
    {Kind::kRemember, "non dimenticare che"},
    {Kind::kForget, "dimentica che"},
    {Kind::kForget, "dimentica:"},
    // Portuguese
    {Kind::kRemember, "lembra-te de que"},
    {Kind::kRemember, "lembra-te que"},
    {Kind::kRemember, "lembre-se de que"},
    {Kind::kRemember, "lembre-se que"},
    {Kind::kRemember, "lembre-se:"},
    {Kind::kRemember, "não esqueças que"},
    {Kind::kRemember, "não se esqueça de que"},
    {Kind::kForget, "esquece que"},
    {Kind::kForget, "esqueça que"},
    {Kind::kForget, "esqueça:"},
    // Dutch
    {Kind::kRemember, "onthoud dat"},
    {Kind::kRemember, "onthoud:"},
    {Kind::kRemember, "vergeet niet dat"},
    {Kind::kForget, "vergeet dat"},
    {Kind::kForget, "vergeet:"},
    // Polish
    {Kind::kRemember, "zapamiętaj, że"},
    {Kind::kRemember, "zapamiętaj:"},
    {Kind::kForget, "zapomnij, że"},
    {Kind::kForget, "zapomnij:"},
    // Russian
    {Kind::kRemember, "запомни, что"},
    {Kind::kRemember, "запомни:"},
    {Kind::kRemember, "не забудь, что"},
    {Kind::kForget, "забудь, что"},
    {Kind::kForget, "забудь:"},
    // Chinese, in both scripts, and Japanese, whose verb stands at the end unless a colon follows
    {Kind::kRemember, "记住:"},
    {Kind::kRemember, "记住"},
    {Kind::kRemember, "記住:"},
    {Kind::kRemember, "記住"},
    {Kind::kForget, "忘掉:"},
    {Kind::kForget, "忘掉"},
    {Kind::kRemember, "覚えておいて:"},
    {Kind::kForget, "忘れて:"},
};
constexpr const char* kPolite[] = {
    "please,",      "bitte,",       "s'il te plaît,", "s'il vous plaît,", "por favor,", "per favore,",
    "alsjeblieft,", "alstublieft,", "proszę,",        "пожалуйста,",      "请",         "請"};

char32_t Lower(char32_t c) {
  return c == 0x2019 ? U'\'' : static_cast<char32_t>(u_tolower(static_cast<UChar32>(c)));
}

// Reads code points one by one.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}
  bool done() const { return position_ == text_.size(); }
  size_t position() const { return position_; }
  char32_t Peek() const { return done() ? 0 : Decode().code_point; }
  void Skip() { position_ += Decode().bytes; }
  void SkipSpaces() {
    while (!done() && u_isUWhiteSpace(static_cast<UChar32>(Peek())) != 0) Skip();
  }

 private:
  DecodedCodePoint Decode() const {
    return DecodeCodePoint(text_.data() + position_, text_.data() + text_.size());
  }
  std::string_view text_;
  size_t position_ = 0;
};

bool IsWord(char32_t c) {
  return (U_GET_GC_MASK(static_cast<UChar32>(c)) & (U_GC_L_MASK | U_GC_M_MASK | U_GC_N_MASK)) != 0;
}
bool HasSpaces(char32_t c) {  // whether words of this letter's script end at spaces
  return IsWord(c) && u_hasBinaryProperty(static_cast<UChar32>(c), UCHAR_IDEOGRAPHIC) == 0 &&
         !(c >= 0x3040 && c <= 0x30FF);
}

// The number of bytes at the start of `line` that match `phrase`, with the spaces after it; nothing if none
// do.
std::optional<size_t> Match(std::string_view line, std::string_view phrase) {
  Reader text(line), wanted(phrase);
  char32_t last = 0;
  for (; !wanted.done(); wanted.Skip()) {
    last = wanted.Peek();
    if (last == ' ') {
      const size_t before = text.position();
      text.SkipSpaces();
      // The spaces may have been skipped already.
      if (text.position() == before && (before == 0 || line[before - 1] != ' ')) return std::nullopt;
    } else if (last == ',') {
      if (text.Peek() == ',' || text.Peek() == 0xFF0C) text.Skip();
    } else if (last == ':') {
      text.SkipSpaces();
      if (text.Peek() != ':' && text.Peek() != 0xFF1A) return std::nullopt;
      text.Skip();
    } else {
      if (text.done() || Lower(text.Peek()) != last) return std::nullopt;
      text.Skip();
    }
  }
  if (HasSpaces(last) && IsWord(text.Peek())) return std::nullopt;  // "remember thatched roofs"
  const bool spaces = last != ':' && last != ',';
  text.SkipSpaces();
  // After a phrase that ends in a word come words, perhaps in quotes: "forget that, please" is about nothing.
  if (spaces && !IsWord(text.Peek()) &&
      std::u32string_view(U"\"'`“”„«「『($€£#+-").find(text.Peek()) == std::u32string_view::npos) {
    return std::nullopt;
  }
  return text.position();
}

bool IsQuestion(std::string_view sentence) {
  while (!sentence.empty()) {
    for (const std::string_view mark : {"?", "？", "؟"}) {
      if (sentence.ends_with(mark)) return true;
    }
    // Quotes and brackets may follow the mark.
    const std::string_view closing = " \t\r\n\"')]";
    if (closing.find(sentence.back()) == std::string_view::npos) return false;
    sentence.remove_suffix(1);
  }
  return false;
}

// `text` without questions and white space at its end; empty if it begins with a question.
std::string Statements(std::string_view text) {
  std::vector<TextRange> sentences = SentencesOf(text);
  const auto is_question = [&](const TextRange& range) {
    return IsQuestion(text.substr(range.begin, range.end - range.begin));
  };
  if (sentences.empty() || is_question(sentences.front())) return "";
  while (is_question(sentences.back())) sentences.pop_back();
  text = text.substr(0, sentences.back().end);
  const size_t last = text.find_last_not_of(" \t\r\n");
  return std::string(text.substr(0, last == std::string_view::npos ? 0 : last + 1));
}

}  // namespace

MemoryRequest ParseMemoryRequest(std::string_view line) {
  Reader start(line);
  start.SkipSpaces();
  line.remove_prefix(start.position());
  for (const char* polite : kPolite) {
    if (const auto size = Match(line, polite)) {
      line.remove_prefix(*size);
      if (line.starts_with(":")) line.remove_prefix(1);
      break;
    }
  }
  for (const Phrase& phrase : kPhrases) {
    if (const auto size = Match(line, phrase.text)) {
      std::string text = Statements(line.substr(*size));
      if (!text.empty()) return {phrase.kind, std::move(text)};
      return {};
    }
  }
  return {};
}

}  // namespace qwen25

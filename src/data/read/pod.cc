#include "data/read/pod.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdint>
#include <map>
#include <vector>

#include "data/read/text_layout.h"
#include "text/utf8.h"

namespace qwen25 {
namespace {

constexpr size_t kWidth = 80;
constexpr size_t kIndent = 4;
constexpr size_t kMaxIndent = 32;
constexpr int kMaxDepth = 16;  // codes inside codes

const std::map<std::string_view, std::string_view> kEntities = {
    {"lt", "<"},     {"gt", ">"},       {"verbar", "|"},    {"sol", "/"},    {"amp", "&"},    {"quot", "\""},
    {"apos", "'"},   {"lchevron", "«"}, {"rchevron", "»"},  {"laquo", "«"},  {"raquo", "»"},  {"copy", "©"},
    {"reg", "®"},    {"eacute", "é"},   {"egrave", "è"},    {"agrave", "à"}, {"aacute", "á"}, {"auml", "ä"},
    {"ouml", "ö"},   {"uuml", "ü"},     {"Auml", "Ä"},      {"Ouml", "Ö"},   {"Uuml", "Ü"},   {"szlig", "ß"},
    {"oslash", "ø"}, {"aring", "å"},    {"aelig", "æ"},     {"ccedil", "ç"}, {"ntilde", "ñ"}, {"oacute", "ó"},
    {"iacute", "í"}, {"uacute", "ú"},   {"nbsp", "\u00A0"}, {"shy", ""},     {"mdash", "—"},  {"ndash", "–"},
};

// E<...>: a name, or a number in decimal, 0x hexadecimal or 0 octal.
std::string Entity(std::string_view name) {
  if (const auto found = kEntities.find(name); found != kEntities.end()) return std::string(found->second);
  int base = 10;
  std::string_view digits = name;
  if (digits.starts_with("0x")) {
    base = 16;
    digits.remove_prefix(2);
  } else if (digits.starts_with('0')) {
    base = 8;
  }
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  if (error != std::errc() || end != digits.data() + digits.size() || value == 0) return std::string(name);
  std::string out;
  AppendUtf8(value, out);
  return out;
}

// L<text|target>: the text if there is one, else the target as words.
std::string LinkText(std::string_view link) {
  if (const size_t bar = link.find('|'); bar != std::string_view::npos)
    return std::string(link.substr(0, bar));
  if (link.find("://") != std::string_view::npos) return std::string(link);
  const size_t slash = link.find('/');
  if (slash == std::string_view::npos) return std::string(link);
  std::string_view section = link.substr(slash + 1);
  if (section.size() >= 2 && section.starts_with('"') && section.ends_with('"'))
    section = section.substr(1, section.size() - 2);
  if (slash == 0) return fmt::format("\"{}\"", section);
  return fmt::format("\"{}\" in {}", section, link.substr(0, slash));
}

class CodeExpander {
 public:
  explicit CodeExpander(std::string_view text) : text_(text) {}

  // The text up to `closing` (">", " >>", ...; empty: to the end), codes expanded.
  std::string Expand(std::string_view closing, int depth) {
    std::string out;
    while (position_ < text_.size()) {
      if (!closing.empty() && text_.substr(position_).starts_with(closing)) {
        position_ += closing.size();
        return out;
      }
      const char c = text_[position_];
      const size_t brackets = BracketsAfter(position_ + 1);
      if (c < 'A' || c > 'Z' || brackets == 0 || depth >= kMaxDepth) {
        out += c;
        ++position_;
        continue;
      }
      position_ += 1 + brackets;
      std::string inner_closing(brackets > 1 ? 1 : 0, ' ');
      inner_closing.append(brackets, '>');
      std::string inner = Expand(inner_closing, depth + 1);
      if (brackets > 1) inner.erase(0, std::min(inner.find_first_not_of(" \n"), inner.size()));
      out += Format(c, std::move(inner));
    }
    return out;
  }

 private:
  // How many `<` stand at `at`; several count only with a space after them.
  size_t BracketsAfter(size_t at) const {
    size_t count = 0;
    while (at + count < text_.size() && text_[at + count] == '<') ++count;
    const bool spaced = at + count < text_.size() && (text_[at + count] == ' ' || text_[at + count] == '\n');
    return count > 1 && !spaced ? 1 : count;
  }

  static std::string Format(char code, std::string inner) {
    switch (code) {
      case 'E':
        return Entity(inner);
      case 'L':
        return LinkText(inner);
      case 'X':
      case 'Z':
        return {};  // index entries; nothing
      case 'S': {   // spaces that do not break
        std::string out;
        for (const char c : inner) c == ' ' || c == '\n' ? out += "\u00A0" : out += c;
        return out;
      }
      default:
        return inner;
    }
  }

  std::string_view text_;
  size_t position_ = 0;
};

class PodRenderer {
 public:
  PodRenderer() { layout_.set_indent(kIndent); }

  void Paragraph(std::string_view paragraph);
  std::string Take() { return layout_.Take(); }

 private:
  void Command(std::string_view name, std::string_view text);
  void Item(std::string_view text);

  TextLayout layout_{kWidth};
  std::vector<size_t> outer_indents_;  // of each =over
  std::string skip_until_;             // the format of a =begin whose text is not for readers
};

void PodRenderer::Item(std::string_view text) {
  const size_t outer = outer_indents_.empty() ? 0 : outer_indents_.back();
  layout_.Paragraph();
  layout_.set_indent(std::min(outer + kIndent, kMaxIndent));
  const bool bullet = text.starts_with('*');
  layout_.Tag(bullet ? text.substr(0, 1) : std::string_view(ExpandPodCodes(text)), outer);
  if (bullet && text.size() > 1) layout_.Fill(ExpandPodCodes(text.substr(1)));
}

void PodRenderer::Command(std::string_view name, std::string_view text) {
  if (name.starts_with("head") && name.size() == 5) {
    outer_indents_.clear();
    layout_.Heading(ExpandPodCodes(text), name[4] <= '1' ? 0 : 2);
    layout_.set_indent(kIndent);
  } else if (name == "over") {
    outer_indents_.push_back(layout_.indent());
    layout_.set_indent(std::min(layout_.indent() + kIndent, kMaxIndent));
  } else if (name == "item") {
    Item(text);
  } else if (name == "back") {
    layout_.Paragraph();
    if (!outer_indents_.empty()) {
      layout_.set_indent(outer_indents_.back());
      outer_indents_.pop_back();
    }
  } else if (name == "begin") {
    const std::string_view format = text.substr(0, text.find_first_of(" \t\n"));
    if (!format.starts_with(':') && format != "text") skip_until_ = format;
  }
}

// One paragraph of POD, without the blank lines around it.
void PodRenderer::Paragraph(std::string_view paragraph) {
  const bool command = paragraph.starts_with('=');
  std::string_view name;
  std::string_view text = paragraph;
  if (command) {
    const size_t end = std::min(paragraph.find_first_of(" \t\n"), paragraph.size());
    name = paragraph.substr(1, end - 1);
    text = paragraph.substr(end);
    text.remove_prefix(std::min(text.find_first_not_of(" \t\n"), text.size()));
  }
  if (!skip_until_.empty()) {
    if (name == "end") skip_until_.clear();
  } else if (command) {
    Command(name, text);
  } else if (text.starts_with(' ') || text.starts_with('\t')) {  // verbatim
    layout_.Paragraph();
    for (size_t at = 0; at < text.size();) {
      const size_t end = std::min(text.find('\n', at), text.size());
      layout_.Verbatim(text.substr(at, end - at));
      at = end + 1;
    }
    layout_.Paragraph();
  } else {
    layout_.Fill(ExpandPodCodes(text));
    layout_.Paragraph();
  }
}

bool IsBlank(std::string_view line) {
  return line.find_first_not_of(" \t\r") == std::string_view::npos;
}

bool IsCommand(std::string_view line) {
  return line.size() > 1 && line[0] == '=' && std::isalpha(static_cast<unsigned char>(line[1]));
}

}  // namespace

std::string ExpandPodCodes(std::string_view paragraph) {
  return CodeExpander(paragraph).Expand("", 0);
}

PodAndCode SplitPod(std::string_view source) {
  PodRenderer renderer;
  PodAndCode out;
  std::string paragraph;
  bool in_pod = false;
  bool in_code = true;  // until __END__: after it only POD counts
  const auto end_paragraph = [&] {
    if (!paragraph.empty()) renderer.Paragraph(paragraph);
    paragraph.clear();
  };
  while (!source.empty()) {
    const size_t end = std::min(source.find('\n'), source.size());
    const std::string_view line = source.substr(0, end);
    source.remove_prefix(std::min(end + 1, source.size()));
    if (!in_pod && IsCommand(line) && !line.starts_with("=cut")) in_pod = true;
    if (in_pod) {
      if (line.starts_with("=cut")) {
        end_paragraph();
        in_pod = false;
      } else if (IsBlank(line)) {
        end_paragraph();
      } else {
        if (IsCommand(line)) end_paragraph();
        (paragraph += paragraph.empty() ? "" : "\n") += line;
      }
    } else if (line == "__END__" || line == "__DATA__") {
      in_code = false;
    } else if (in_code) {
      (out.code += line) += '\n';
    }
  }
  end_paragraph();
  out.documentation = renderer.Take();
  if (out.code.find_first_not_of(" \t\r\n") == std::string::npos) out.code.clear();
  return out;
}

}  // namespace qwen25

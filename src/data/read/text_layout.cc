#include "data/read/text_layout.h"

#include <algorithm>
#include <utility>

namespace qwen25 {
namespace {

constexpr std::string_view kNoBreakSpace = "\xC2\xA0";

void AppendWithPlainSpaces(std::string_view text, std::string& out) {
  for (size_t i = 0; i < text.size(); ++i) {
    if (text.substr(i, 2) == kNoBreakSpace) {
      out += ' ';
      ++i;
    } else {
      out += text[i];
    }
  }
}

}  // namespace

size_t CountCodePoints(std::string_view text) {
  size_t count = 0;
  for (const char c : text) count += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  return count;
}

void TextLayout::StartLine(size_t indent) {
  if (blank_due_ && !out_.empty()) out_ += '\n';
  blank_due_ = false;
  after_heading_ = false;
  line_.assign(indent, ' ');
  columns_ = indent;
  line_open_ = true;
}

void TextLayout::PutWord(std::string_view word) {
  const size_t columns = CountCodePoints(word);
  if (!line_open_) {
    StartLine(indent_);
  } else if (after_tag_) {
    if (columns_ < indent_) {
      line_.append(indent_ - columns_, ' ');
      columns_ = indent_;
    } else {
      Break();
      StartLine(indent_);
    }
  } else if (!join_next_) {
    if (columns_ + 1 + columns > width_) {
      Break();
      StartLine(indent_);
    } else {
      line_ += ' ';
      ++columns_;
    }
  }
  after_tag_ = false;
  join_next_ = false;
  line_ += word;
  columns_ += columns;
}

void TextLayout::Fill(std::string_view text) {
  constexpr std::string_view kSeparators = " \t\n";
  for (size_t begin = text.find_first_not_of(kSeparators); begin != std::string_view::npos;) {
    const size_t end = std::min(text.find_first_of(kSeparators, begin), text.size());
    PutWord(text.substr(begin, end - begin));
    begin = text.find_first_not_of(kSeparators, end);
  }
}

void TextLayout::Verbatim(std::string_view line) {
  Break();
  const size_t last = line.find_last_not_of(" \t");
  if (last == std::string_view::npos) {
    blank_due_ = !after_heading_;
    return;
  }
  StartLine(indent_);
  line_ += line.substr(0, last + 1);
  Break();
}

void TextLayout::Break() {
  join_next_ = false;
  if (!line_open_) return;
  AppendWithPlainSpaces(line_, out_);
  out_ += '\n';
  line_.clear();
  line_open_ = false;
  after_tag_ = false;
}

void TextLayout::Paragraph() {
  Break();
  blank_due_ = !after_heading_;
}

void TextLayout::Heading(std::string_view title, size_t heading_indent) {
  Break();
  blank_due_ = true;
  const size_t body_indent = std::exchange(indent_, heading_indent);
  Fill(title);
  Break();
  indent_ = body_indent;
  after_heading_ = true;
}

void TextLayout::Tag(std::string_view tag, size_t tag_indent) {
  Break();
  const size_t body_indent = indent_;
  indent_ = tag_indent;
  Fill(tag);
  indent_ = body_indent;
  after_tag_ = line_open_;
}

std::string TextLayout::Take() {
  Break();
  blank_due_ = false;
  return std::move(out_);
}

}  // namespace qwen25

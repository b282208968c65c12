// Sets words into lines: what the renderers of manual pages (roff.h) and Perl documentation (pod.h) write to.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace qwen25 {

class TextLayout {
 public:
  explicit TextLayout(size_t width) : width_(width) {}

  // Adds the words of `text` (separated by spaces, tabs, new-lines) to the paragraph, wrapped at `width`
  // code points. A no-break space (U+00A0) does not separate words and comes out as a plain space.
  void Fill(std::string_view text);
  // The next word follows the last one without a space.
  void JoinNext() { join_next_ = true; }
  // Ends the line and adds `line` as it is after the indent. An empty line stays empty.
  void Verbatim(std::string_view line);
  // Ends the line, if one has been begun.
  void Break();
  // Ends the paragraph: one blank line stands before what comes next, never at the start.
  void Paragraph();
  // A line of its own after a blank line; what follows stands right below it.
  void Heading(std::string_view title, size_t heading_indent);
  // `tag` stands at `tag_indent`; text after it starts at indent(), on the same line if the tag is short.
  void Tag(std::string_view tag, size_t tag_indent);

  size_t indent() const { return indent_; }
  void set_indent(size_t columns) { indent_ = columns; }
  // Bytes written so far.
  size_t size() const { return out_.size() + line_.size(); }

  // The text, which ends in one new-line unless it is empty.
  std::string Take();

 private:
  void PutWord(std::string_view word);
  void StartLine(size_t indent);

  size_t width_;
  size_t indent_ = 0;
  std::string out_;
  std::string line_;        // the line being filled, without its new-line
  size_t columns_ = 0;      // code points in line_
  bool line_open_ = false;  // line_ holds something
  bool after_tag_ = false;  // line_ holds a tag and no body yet
  bool after_heading_ = false;
  bool blank_due_ = false;  // a blank line stands before the next line
  bool join_next_ = false;
};

// Code points in well-formed UTF-8.
size_t CountCodePoints(std::string_view text);

}  // namespace qwen25

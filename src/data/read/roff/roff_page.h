// What the two macro packages share: filling and literal text, breaks, indents, tables.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "data/read/roff/roff_source.h"
#include "data/read/text_layout.h"

namespace qwen25 {

class RoffPage {
 public:
  virtual ~RoffPage() = default;
  std::string Render();

 protected:
  RoffPage(std::string_view source, std::span<const std::string_view> reserved) : source_(source, reserved) {}

  // Sets a macro of the package; false if it is not one.
  virtual bool Macro(const RoffLine& line) = 0;
  // Sets a line of text, also that of a macro which only changes the font.
  virtual void Text(std::string_view text);

  void BeginSection(std::string_view title, size_t title_indent);
  static std::string Joined(const std::vector<RoffArgument>& arguments, std::string_view separator,
                            size_t first = 0);
  // "ls(1)" from the arguments `ls 1`.
  static std::string PageName(const std::vector<RoffArgument>& arguments);
  // A width argument ("8n", "2", "0.5i") in columns; `fallback` if there is none or it makes no sense.
  static size_t Columns(const std::vector<RoffArgument>& arguments, size_t index, size_t fallback);

  static constexpr size_t kIndent = 4;      // columns of body text, and of each level below it
  static constexpr size_t kMaxIndent = 32;  // deeper nesting stays here
  static constexpr size_t kWidth = 80;

  RoffSource source_;
  TextLayout layout_{kWidth};
  bool literal_ = false;  // between .nf and .fi: lines stay as they are

 private:
  void Request(const RoffLine& line);
  void TableLine(const RoffLine& line);
  void EndTable();
  void TableRow(const std::vector<std::string>& cells, const std::vector<size_t>& widths);

  std::string skip_until_;  // inside .EQ or .PS: the macro that ends it
  bool in_table_ = false;
  std::vector<std::string> table_;
};

// Render a page written in man(7), and one in mdoc(7).
std::string RenderManPage(std::string_view source);
std::string RenderMdocPage(std::string_view source);

}  // namespace qwen25

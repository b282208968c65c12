// man(7): the macros of most manual pages.
#include <fmt/format.h>

#include <algorithm>

#include "data/read/roff/roff_page.h"

namespace qwen25 {
namespace {

constexpr std::string_view kMacros[] = {
    "TH", "SH", "SS", "PP", "P",  "LP", "TP", "TQ", "IP", "HP", "RS", "RE", "B",  "I",
    "R",  "SM", "SB", "BI", "BR", "IB", "IR", "RB", "RI", "EX", "EE", "UR", "UE", "MT",
    "ME", "SY", "YS", "OP", "PD", "UC", "AT", "DT", "TS", "TE", "EQ", "EN", "MR",
};

class ManPage : public RoffPage {
 public:
  explicit ManPage(std::string_view source) : RoffPage(source, kMacros) { layout_.set_indent(kIndent); }

 private:
  enum class Awaiting { kNothing, kTag, kSection, kSubsection };

  bool Macro(const RoffLine& line) override;
  void Text(std::string_view text) override;
  bool Structure(const RoffLine& line);
  bool Link(const RoffLine& line);
  void Section(const RoffLine& line, Awaiting kind);
  void BeginParagraph();
  void IndentBody(size_t columns) { layout_.set_indent(std::min(base_ + columns, kMaxIndent)); }

  Awaiting awaiting_ = Awaiting::kNothing;  // what the next line of text is
  size_t base_ = kIndent;                   // indent of plain paragraphs
  size_t tag_columns_ = kIndent;            // of the last .TP or .IP
  std::vector<size_t> outer_bases_;         // of the .RS around this one
  std::string link_;
};

void ManPage::BeginParagraph() {
  layout_.Paragraph();
  layout_.set_indent(base_);
  awaiting_ = Awaiting::kNothing;
}

void ManPage::Section(const RoffLine& line, Awaiting kind) {
  outer_bases_.clear();
  base_ = kIndent;
  tag_columns_ = kIndent;
  awaiting_ = line.arguments.empty() ? kind : Awaiting::kNothing;
  const size_t indent = kind == Awaiting::kSection ? 0 : 2;
  if (!line.arguments.empty()) BeginSection(Joined(line.arguments, " "), indent);
}

void ManPage::Text(std::string_view text) {
  switch (awaiting_) {
    case Awaiting::kNothing:
      RoffPage::Text(text);
      return;
    case Awaiting::kTag:
      layout_.Tag(text, base_);
      break;
    case Awaiting::kSection:
    case Awaiting::kSubsection:
      BeginSection(text, awaiting_ == Awaiting::kSection ? 0 : 2);
      break;
  }
  awaiting_ = Awaiting::kNothing;
}

// Sections, paragraphs, lists and their indents.
bool ManPage::Structure(const RoffLine& line) {
  const std::string& name = line.name;
  if (name == "TH") {
    BeginSection(PageName(line.arguments), 0);
  } else if (name == "SH") {
    Section(line, Awaiting::kSection);
  } else if (name == "SS") {
    Section(line, Awaiting::kSubsection);
  } else if (name == "PP" || name == "P" || name == "LP" || name == "HP") {
    BeginParagraph();
    tag_columns_ = kIndent;
  } else if (name == "TP" || name == "TQ") {
    if (name == "TP") BeginParagraph();
    layout_.Break();
    tag_columns_ = Columns(line.arguments, 0, tag_columns_);
    IndentBody(tag_columns_);
    awaiting_ = Awaiting::kTag;
  } else if (name == "IP") {
    BeginParagraph();
    tag_columns_ = Columns(line.arguments, 1, tag_columns_);
    IndentBody(tag_columns_);
    if (!line.arguments.empty()) layout_.Tag(line.arguments[0].text, base_);
  } else if (name == "RS") {
    layout_.Break();
    outer_bases_.push_back(base_);
    base_ = std::min(base_ + Columns(line.arguments, 0, tag_columns_), kMaxIndent);
    layout_.set_indent(base_);
    tag_columns_ = kIndent;
  } else if (name == "RE") {
    layout_.Break();
    if (!outer_bases_.empty()) {
      base_ = outer_bases_.back();
      outer_bases_.pop_back();
    }
    layout_.set_indent(base_);
  } else {
    return false;
  }
  return true;
}

// Links and command synopses.
bool ManPage::Link(const RoffLine& line) {
  const std::string& name = line.name;
  if (name == "UR" || name == "MT") {
    link_ = line.arguments.empty() ? "" : line.arguments[0].text;
  } else if (name == "UE" || name == "ME") {
    Text(fmt::format("<{}>{}", link_, Joined(line.arguments, "")));
  } else if (name == "MR") {  // a reference to another page
    Text(PageName(line.arguments) + Joined(line.arguments, "", 2));
  } else if (name == "SY") {
    layout_.Break();
    Text(Joined(line.arguments, " "));
  } else if (name == "YS") {
    layout_.Break();
  } else if (name == "OP") {
    Text(fmt::format("[{}]", Joined(line.arguments, "\u00A0")));
  } else {
    return false;
  }
  return true;
}

bool ManPage::Macro(const RoffLine& line) {
  const std::string& name = line.name;
  if (Structure(line) || Link(line)) return true;
  if (name == "B" || name == "I" || name == "R" || name == "SM" || name == "SB") {
    if (!line.arguments.empty()) Text(Joined(line.arguments, " "));
    return true;
  }
  if (name == "BI" || name == "BR" || name == "IB" || name == "IR" || name == "RB" || name == "RI") {
    if (!line.arguments.empty()) Text(Joined(line.arguments, ""));
    return true;
  }
  if (name == "EX" || name == "EE") {
    layout_.Break();
    literal_ = name == "EX";
    return true;
  }
  return false;
}

}  // namespace

std::string RenderManPage(std::string_view source) {
  return ManPage(source).Render();
}

}  // namespace qwen25

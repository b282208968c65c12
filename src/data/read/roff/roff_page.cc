#include "data/read/roff/roff_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "data/read/roff/roff.h"

namespace qwen25 {
namespace {

// A page may grow by macros and strings that repeat; real pages never come near this.
constexpr size_t kMaxPageBytes = size_t{16} << 20;

}  // namespace

std::string RenderRoff(std::string_view source) {
  // The first macro decides: pages in mdoc begin with .Dd or .Dt, in man with .TH.
  for (size_t at = 0; at < source.size();) {
    const std::string_view line = source.substr(at, source.find('\n', at) - at);
    if (line.starts_with(".Dd") || line.starts_with(".Dt") || line.starts_with(".Sh"))
      return RenderMdocPage(source);
    if (line.starts_with(".TH") || line.starts_with(".SH")) break;
    at += line.size() + 1;
  }
  return RenderManPage(source);
}

std::string RoffPage::Joined(const std::vector<RoffArgument>& arguments, std::string_view separator,
                             size_t first) {
  std::string out;
  for (size_t i = first; i < arguments.size(); ++i) {
    if (i > first) out += separator;
    out += arguments[i].text;
  }
  return out;
}

std::string RoffPage::PageName(const std::vector<RoffArgument>& arguments) {
  if (arguments.empty()) return {};
  if (arguments.size() == 1) return arguments[0].text;
  return fmt::format("{}({})", arguments[0].text, arguments[1].text);
}

size_t RoffPage::Columns(const std::vector<RoffArgument>& arguments, size_t index, size_t fallback) {
  if (index >= arguments.size() || arguments[index].text.empty()) return fallback;
  const std::string& text = arguments[index].text;
  if (!std::isdigit(static_cast<unsigned char>(text[0]))) return fallback;
  int columns = EvaluateRoffExpression(text.substr(0, text.find_first_not_of("0123456789")));
  if (text.ends_with('i')) columns *= 10;  // an inch is ten columns
  return columns == 0 ? fallback : static_cast<size_t>(std::clamp(columns, 2, 12));
}

std::string RoffPage::Render() {
  while (layout_.size() < kMaxPageBytes) {
    const std::optional<RoffLine> line = source_.Next();
    if (!line) break;
    if (!skip_until_.empty()) {
      if (line->name == skip_until_) skip_until_.clear();
    } else if (in_table_) {
      TableLine(*line);
    } else if (line->name.empty()) {
      Text(line->text);
    } else if (!Macro(*line)) {
      Request(*line);
    }
    if (line->continuation && !literal_) layout_.JoinNext();
  }
  if (in_table_) EndTable();
  return layout_.Take();
}

void RoffPage::Request(const RoffLine& line) {
  const std::string& name = line.name;
  if (name == "br" || name == "in" || name == "ti" || name == "ce") {
    layout_.Break();
  } else if (name == "sp") {
    layout_.Paragraph();
  } else if (name == "nf") {
    layout_.Break();
    literal_ = true;
  } else if (name == "fi") {
    layout_.Break();
    literal_ = false;
  } else if (name == "TS") {
    in_table_ = true;
    table_.clear();
  } else if (name == "EQ" || name == "PS" || name == "GS") {
    skip_until_ = name.substr(0, 1) == "E" ? "EN" : name.substr(0, 1) + "E";
  } else if (name == "ft" || name == "ul" || name == "cu" || name == "bd") {
    return;  // fonts
  }
}

void RoffPage::Text(std::string_view text) {
  if (literal_ || text.starts_with(' ') || text.starts_with('\t')) {
    layout_.Verbatim(text);  // outside literal text a leading space still breaks the line
  } else if (text.empty()) {
    layout_.Paragraph();
  } else {
    layout_.Fill(text);
  }
}

void RoffPage::BeginSection(std::string_view title, size_t title_indent) {
  literal_ = false;
  layout_.Heading(title, title_indent);
  layout_.set_indent(kIndent);
}

void RoffPage::TableLine(const RoffLine& line) {
  if (line.name == "TE") {
    EndTable();
  } else if (line.name.empty()) {
    table_.push_back(line.text);
  } else if (line.name == "T&") {
    table_.push_back(".T&");
  } else if (line.name.size() <= 2 && std::isupper(static_cast<unsigned char>(line.name[0]))) {
    table_.push_back(Joined(line.arguments, line.name.size() == 2 ? "" : " "));  // a font, as in .BR
  }
}

// The format of tbl(1): options up to `;`, column formats up to a line that ends in `.`, then rows of cells
// separated by tabs; `T{` ... `T}` holds a cell of several lines.
void RoffPage::EndTable() {
  in_table_ = false;
  char separator = '\t';
  bool in_format = true;
  bool in_block = false;
  std::vector<std::vector<std::string>> rows;
  for (std::string& line : table_) {
    const size_t last = line.find_last_not_of(" \t");
    const std::string_view trimmed =
        std::string_view(line).substr(0, last == std::string::npos ? 0 : last + 1);
    if (trimmed == ".T&") {
      in_format = true;
    } else if (in_format) {
      const size_t tab = trimmed.ends_with(';') ? trimmed.find("tab") : std::string_view::npos;
      if (tab != std::string_view::npos) {
        const size_t open = trimmed.find('(', tab);
        if (open != std::string_view::npos && open + 1 < trimmed.size()) separator = trimmed[open + 1];
      }
      in_format = !trimmed.ends_with('.');
    } else if (!in_block && trimmed.find_first_not_of("_=-") == std::string_view::npos) {
      continue;  // a rule
    } else {
      std::string_view rest = trimmed;
      if (!in_block) rows.emplace_back().emplace_back();
      std::vector<std::string>& cells = rows.back();
      if (in_block) {
        in_block = !rest.starts_with("T}");
        if (in_block) {
          (cells.back() += cells.back().empty() ? "" : " ") += rest;
          continue;
        }
        rest.remove_prefix(2);
      }
      for (;;) {
        const size_t end = std::min(rest.find(separator), rest.size());
        in_block = rest.substr(0, end) == "T{";
        if (!in_block) cells.back() += rest.substr(0, end);
        if (end == rest.size()) break;
        rest.remove_prefix(end + 1);
        cells.emplace_back();
      }
    }
  }
  std::vector<size_t> widths;
  for (const auto& cells : rows) {
    widths.resize(std::max(widths.size(), cells.size()));
    for (size_t i = 0; i < cells.size(); ++i)
      widths[i] = std::max(widths[i], std::min<size_t>(CountCodePoints(cells[i]), 24));
  }
  layout_.Paragraph();
  for (const auto& cells : rows) TableRow(cells, widths);
  layout_.Paragraph();
  table_.clear();
}

// Side by side if the row fits the line, else the first cell with the others filled below it.
void RoffPage::TableRow(const std::vector<std::string>& cells, const std::vector<size_t>& widths) {
  std::string line;
  for (size_t i = 0; i < cells.size(); ++i) {
    line += cells[i];
    const size_t columns = CountCodePoints(cells[i]);
    if (i + 1 < cells.size()) line.append(2 + (columns < widths[i] ? widths[i] - columns : 0), ' ');
  }
  if (layout_.indent() + CountCodePoints(line) <= kWidth) {
    layout_.Verbatim(line);
    return;
  }
  const size_t indent = layout_.indent();
  layout_.set_indent(indent + kIndent);
  layout_.Tag(cells[0], indent);
  for (size_t i = 1; i < cells.size(); ++i) layout_.Fill(cells[i]);
  layout_.Break();
  layout_.set_indent(indent);
}

}  // namespace qwen25

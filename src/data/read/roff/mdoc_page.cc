// mdoc(7): the macros of pages that come from the BSDs. Macros call macros on one line
// (`.Op Fl a Ar file` is "[-a file]"), so a line is put together piece by piece before it is set.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "data/read/roff/roff_page.h"

namespace qwen25 {
namespace {

struct Enclosure {
  std::string_view open;
  std::string_view close;
};

// Around the rest of the line; and by a pair of macros, which share the last letter's `o` and `c`.
const std::map<std::string_view, Enclosure> kEnclosures = {
    {"Op", {"[", "]"}}, {"Dq", {"“", "”"}}, {"Sq", {"‘", "’"}},  {"Qq", {"\"", "\""}}, {"Ql", {"‘", "’"}},
    {"Pq", {"(", ")"}}, {"Bq", {"[", "]"}}, {"Brq", {"{", "}"}}, {"Aq", {"<", ">"}},
};
const std::map<std::string_view, std::string_view> kOpening = {
    {"Oo", "["}, {"Do", "“"},  {"So", "‘"}, {"Qo", "\""}, {"Po", "("},
    {"Bo", "["}, {"Bro", "{"}, {"Ao", "<"}, {"Eo", ""},   {"Xo", ""},
};
const std::map<std::string_view, std::string_view> kClosing = {
    {"Oc", "]"}, {"Dc", "”"},  {"Sc", "’"}, {"Qc", "\""}, {"Pc", ")"},
    {"Bc", "]"}, {"Brc", "}"}, {"Ac", ">"}, {"Ec", ""},   {"Xc", ""},
};
// Macros that stand for a fixed text, put before their arguments.
const std::map<std::string_view, std::string_view> kFixed = {
    {"Ux", "UNIX"},      {"Bx", "BSD"},       {"Fx", "FreeBSD"}, {"Nx", "NetBSD"},  {"Ox", "OpenBSD"},
    {"Dx", "DragonFly"}, {"At", "AT&T UNIX"}, {"Bsx", "BSD/OS"}, {"Lb", "library"},
};
// Macros whose arguments are plain words in some font.
constexpr std::string_view kFontMacros[] = {
    "Cm", "Ic", "Pa", "Ev", "Va", "Vt", "Em", "Sy", "Li", "No", "Er", "Dv",
    "Ad", "An", "Tn", "Ms", "Cd", "Fa", "Sx", "Mt", "Ft", "St", "Fr", "Nd",
    "Ar", "Fl", "Nm", "Xr", "Fn", "In", "Lk", "Ns", "Ap", "Pf", "Ta",
};

bool IsClosingPunctuation(std::string_view text) {
  return text.size() == 1 && std::string_view(".,;:?!)]").find(text[0]) != std::string_view::npos;
}

bool IsCallable(const RoffArgument& argument) {
  const std::string_view text = argument.text;
  return !argument.literal &&
         (kEnclosures.contains(text) || kOpening.contains(text) || kClosing.contains(text) ||
          kFixed.contains(text) || std::ranges::find(kFontMacros, text) != std::end(kFontMacros));
}

class MdocPage : public RoffPage {
 public:
  explicit MdocPage(std::string_view source) : RoffPage(source, {}) { layout_.set_indent(kIndent); }

 private:
  using Arguments = std::vector<RoffArgument>;
  struct List {
    std::string type;  // "tag", "bullet", ...
    bool compact;
    size_t items;
    size_t indent;  // outside the list
  };
  struct Display {
    bool literal;  // as it was outside
    size_t indent;
  };

  bool Macro(const RoffLine& line) override;
  void Text(std::string_view text) override;
  bool Section(const RoffLine& line);
  bool ListOrDisplay(const RoffLine& line);
  bool Reference(const RoffLine& line);
  bool Function(const RoffLine& line);
  void Item(const Arguments& arguments);
  void StandardSentence(const RoffLine& line);

  // The line being put together.
  void Add(std::string_view piece);
  void AddJoined(std::string_view piece);
  void AddWord(std::string_view word);
  void Parse(const Arguments& arguments, size_t begin, size_t end);
  size_t Call(const Arguments& arguments, size_t at, size_t end, std::string_view name);
  size_t CallWithWords(const Arguments& arguments, size_t at, size_t end, std::string_view name);
  std::string TakeLine();
  void Flush();

  std::string line_;
  bool join_ = false;         // the next piece follows without a space
  bool line_joined_ = false;  // the line itself follows the last one without a space
  bool spacing_ = true;       // .Sm

  std::string page_name_;
  bool in_synopsis_ = false;
  std::vector<List> lists_;
  std::vector<Display> displays_;
  bool in_function_ = false;  // between .Fo and .Fc: arguments are separated by commas
  size_t function_arguments_ = 0;
  std::vector<std::string> reference_;  // between .Rs and .Re
  bool in_reference_ = false;
};

void MdocPage::Add(std::string_view piece) {
  if (line_.empty()) {
    line_joined_ = join_;
  } else if (!join_ && spacing_) {
    line_ += ' ';
  }
  line_ += piece;
  join_ = false;
}

void MdocPage::AddJoined(std::string_view piece) {
  join_ = true;
  Add(piece);
}

void MdocPage::AddWord(std::string_view word) {
  if (IsClosingPunctuation(word)) {
    AddJoined(word);
  } else {
    Add(word);
    if (word == "(" || word == "[") join_ = true;
  }
}

std::string MdocPage::TakeLine() {
  return std::exchange(line_, {});
}

void MdocPage::Flush() {
  const bool joined = line_joined_;
  const bool join_next = join_;
  const std::string line = TakeLine();
  if (line.empty()) return;
  if (joined) layout_.JoinNext();
  RoffPage::Text(line);
  join_ = join_next;
}

void MdocPage::Text(std::string_view text) {
  if (std::exchange(join_, false)) layout_.JoinNext();
  RoffPage::Text(text);
}

void MdocPage::Parse(const Arguments& arguments, size_t begin, size_t end) {
  for (size_t at = begin; at < end;) {
    if (IsCallable(arguments[at])) {
      at = Call(arguments, at + 1, end, arguments[at].text);
    } else {
      AddWord(arguments[at++].text);
    }
  }
}

// Sets the macro `name` with its arguments in [at, end); returns where the line goes on.
size_t MdocPage::Call(const Arguments& arguments, size_t at, size_t end, std::string_view name) {
  if (const auto enclosure = kEnclosures.find(name); enclosure != kEnclosures.end()) {
    size_t inner_end = end;  // punctuation at the end of the line stands outside
    while (inner_end > at && IsClosingPunctuation(arguments[inner_end - 1].text)) --inner_end;
    Add(enclosure->second.open);
    join_ = true;
    Parse(arguments, at, inner_end);
    AddJoined(enclosure->second.close);
    return inner_end;
  }
  if (const auto opening = kOpening.find(name); opening != kOpening.end()) {
    if (opening->second.empty()) return at;
    Add(opening->second);
    join_ = true;
    return at;
  }
  if (const auto closing = kClosing.find(name); closing != kClosing.end()) {
    if (!closing->second.empty()) AddJoined(closing->second);
    return at;
  }
  if (const auto fixed = kFixed.find(name); fixed != kFixed.end()) {
    Add(fixed->second);
    if (at < end && !IsCallable(arguments[at])) AddWord(arguments[at++].text);
    return at;
  }
  if (name == "Ns") return join_ = true, at;
  if (name == "Ap") return AddJoined("'"), join_ = true, at;
  if (name == "Ta") return Add("\u00A0"), at;
  if (name == "Pf" && at < end) return Add(arguments[at].text), join_ = true, at + 1;
  return CallWithWords(arguments, at, end, name);
}

// Macros that take the words up to the next macro.
size_t MdocPage::CallWithWords(const Arguments& arguments, size_t at, size_t end, std::string_view name) {
  size_t words_end = at;
  while (words_end < end && !IsCallable(arguments[words_end])) ++words_end;
  const bool no_word = at == words_end || IsClosingPunctuation(arguments[at].text);
  const auto argument = [&](size_t i) -> std::string_view { return arguments[i].text; };
  if (name == "Fl" && no_word) {
    Add("-");
    join_ = at == words_end && at < end;  // `Fl Fl long` is "--long"
  } else if (name == "Ar" && no_word) {
    Add("file ...");
  } else if (name == "Nm" && no_word) {
    Add(page_name_);
  } else if (name == "Nm") {
    if (page_name_.empty()) page_name_ = argument(at);
  } else if (name == "Xr" && words_end - at >= 2 && !IsClosingPunctuation(argument(at + 1))) {
    Add(fmt::format("{}({})", argument(at), argument(at + 1)));
    at += 2;
  } else if (name == "Fn" && !no_word) {
    std::string call(argument(at++));
    call += "(";
    for (size_t i = 0; at < words_end && !IsClosingPunctuation(argument(at)); ++i)
      (call += i == 0 ? "" : ", ") += argument(at++);
    Add(call + ")");
  } else if (name == "In" && !no_word) {
    Add(fmt::format("{}<{}>", in_synopsis_ ? "#include " : "", argument(at++)));
  } else if (name == "Lk" && !no_word) {
    const std::string link(argument(at++));
    if (at < words_end && !IsClosingPunctuation(argument(at))) Add(fmt::format("{}:", argument(at++)));
    Add(link);
  } else if (name == "Nd") {
    Add("-");
  } else if (name == "An" && at < words_end && (argument(at) == "-split" || argument(at) == "-nosplit")) {
    ++at;
  }
  for (; at < words_end; ++at) {
    const std::string_view word = argument(at);
    const bool flag =
        name == "Fl" && !IsClosingPunctuation(word) && word != "|" && word != "(" && word != "[";
    const bool prefix_p = name == "St" && word.starts_with("-p");
    if (flag) {
      AddWord(fmt::format("-{}", word));
    } else if (prefix_p || (name == "St" && word.starts_with('-'))) {
      Add(prefix_p ? fmt::format("IEEE Std {} (POSIX)", word.substr(2)) : std::string(word.substr(1)));
    } else {
      AddWord(word);
    }
  }
  return at;
}

bool MdocPage::Section(const RoffLine& line) {
  const std::string& name = line.name;
  if (name == "Dt") {
    BeginSection(PageName(line.arguments), 0);
  } else if (name == "Sh" || name == "Ss") {
    lists_.clear();
    displays_.clear();
    join_ = false;
    Parse(line.arguments, 0, line.arguments.size());
    const std::string title = TakeLine();
    if (name == "Sh") in_synopsis_ = title == "SYNOPSIS";
    BeginSection(title, name == "Sh" ? 0 : 2);
  } else if (name == "Pp" || name == "Lp") {
    layout_.Paragraph();
  } else {
    return name == "Dd" || name == "Os" || name == "Bk" || name == "Ek" || name == "Bf" || name == "Ef";
  }
  return true;
}

void MdocPage::Item(const Arguments& arguments) {
  if (lists_.empty()) return;
  List& list = lists_.back();
  if (list.compact) {
    layout_.Break();
  } else {
    layout_.Paragraph();
  }
  ++list.items;
  join_ = false;
  Parse(arguments, 0, arguments.size());
  const std::string head = TakeLine();
  const bool tagged = list.type != "item" && list.type != "column";
  layout_.set_indent(std::min(list.indent + (tagged ? kIndent : 0), kMaxIndent));
  if (list.type == "bullet") {
    layout_.Tag("•", list.indent);
  } else if (list.type == "dash" || list.type == "hyphen") {
    layout_.Tag("-", list.indent);
  } else if (list.type == "enum") {
    layout_.Tag(std::to_string(list.items) + ".", list.indent);
  } else if (tagged) {
    layout_.Tag(head, list.indent);
  } else {
    layout_.Fill(head);
  }
}

bool MdocPage::ListOrDisplay(const RoffLine& line) {
  const std::string& name = line.name;
  const auto has = [&](std::string_view option) {
    return std::ranges::any_of(line.arguments, [&](const RoffArgument& a) { return a.text == option; });
  };
  if (name == "Bl") {
    layout_.Break();
    std::string type = line.arguments.empty() ? "" : line.arguments[0].text;
    if (type.starts_with('-')) type.erase(0, 1);
    lists_.push_back({std::move(type), has("-compact"), 0, layout_.indent()});
  } else if (name == "It") {
    Item(line.arguments);
  } else if (name == "El") {
    layout_.Paragraph();
    if (!lists_.empty()) {
      layout_.set_indent(lists_.back().indent);
      lists_.pop_back();
    }
  } else if (name == "Bd") {
    if (has("-compact")) {
      layout_.Break();
    } else {
      layout_.Paragraph();
    }
    displays_.push_back({literal_, layout_.indent()});
    literal_ = has("-literal") || has("-unfilled");
    if (has("-offset")) layout_.set_indent(std::min(layout_.indent() + kIndent, kMaxIndent));
  } else if (name == "Ed") {
    layout_.Paragraph();
    if (!displays_.empty()) {
      literal_ = displays_.back().literal;
      layout_.set_indent(displays_.back().indent);
      displays_.pop_back();
    }
  } else if (name == "D1" || name == "Dl") {
    Parse(line.arguments, 0, line.arguments.size());
    const size_t indent = layout_.indent();
    layout_.Break();
    layout_.set_indent(std::min(indent + kIndent, kMaxIndent));
    layout_.Verbatim(TakeLine());
    layout_.set_indent(indent);
  } else {
    return false;
  }
  return true;
}

// Bibliographic entries: .Rs, lines of %A %T ..., .Re.
bool MdocPage::Reference(const RoffLine& line) {
  if (line.name == "Rs") {
    in_reference_ = true;
    reference_.clear();
  } else if (line.name == "Re") {
    std::string entry;
    for (size_t i = 0; i < reference_.size(); ++i) (entry += i == 0 ? "" : ", ") += reference_[i];
    if (!entry.empty()) Text(entry + ".");
    in_reference_ = false;
  } else if (line.name.starts_with('%')) {
    std::string text = Joined(line.arguments, " ");
    if (in_reference_) {
      reference_.push_back(std::move(text));
    } else {
      Text(text);
    }
  } else {
    return false;
  }
  return true;
}

// Function prototypes.
bool MdocPage::Function(const RoffLine& line) {
  const std::string& name = line.name;
  if (name == "Fo") {
    layout_.Break();
    Text(Joined(line.arguments, " ") + "(");
    join_ = true;
    in_function_ = true;
    function_arguments_ = 0;
  } else if (name == "Fc") {
    layout_.JoinNext();
    RoffPage::Text(in_synopsis_ ? ");" : ")");
    join_ = false;
    in_function_ = false;
  } else if (name == "Fa" && in_function_) {
    for (const RoffArgument& argument : line.arguments) {
      if (function_arguments_++ > 0) {
        layout_.JoinNext();
        RoffPage::Text(",");
      }
      Text(argument.text);
    }
  } else if (name == "Fd") {
    layout_.Break();
    Text(Joined(line.arguments, " "));
    layout_.Break();
  } else {
    return false;
  }
  return true;
}

void MdocPage::StandardSentence(const RoffLine& line) {
  const std::string name = line.arguments.size() > 1 ? line.arguments[1].text : page_name_;
  if (line.name == "Ex") {
    Text(fmt::format("The {} utility exits 0 on success, and >0 if an error occurs.", name));
  } else {
    Text(
        fmt::format("The {}() function returns the value 0 if successful; otherwise the value -1 is returned "
                    "and the global "
                    "variable errno is set to indicate the error.",
                    name));
  }
}

bool MdocPage::Macro(const RoffLine& line) {
  const std::string& name = line.name;
  if (Section(line) || ListOrDisplay(line) || Reference(line) || Function(line)) return true;
  if (name == "Sm") {
    spacing_ = line.arguments.empty() ? !spacing_ : line.arguments[0].text != "off";
    return true;
  }
  if (name == "Ex" || name == "Rv") return StandardSentence(line), true;
  if (!IsCallable({name, false})) return false;
  const bool synopsis_line =
      in_synopsis_ && (name == "Nm" || name == "In" || name == "Ft" || name == "Fn" || name == "Vt");
  if (synopsis_line) layout_.Break();
  const size_t at = Call(line.arguments, 0, line.arguments.size(), name);
  Parse(line.arguments, at, line.arguments.size());
  Flush();
  if (synopsis_line && name != "Nm") layout_.Break();
  return true;
}

}  // namespace

std::string RenderMdocPage(std::string_view source) {
  return MdocPage(source).Render();
}

}  // namespace qwen25

#include "cli/terminal/help_format.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <sstream>

namespace qwen25 {
namespace {

size_t Columns(std::string_view text) {
  return static_cast<size_t>(std::ranges::count_if(text, [](char c) { return (c & 0xc0) != 0x80; }));
}

// The words of `text` in lines of at most `columns`; a word that is longer has a line of its own.
std::vector<std::string> Wrap(const std::string& text, size_t columns) {
  std::vector<std::string> lines;
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    if (!lines.empty() && Columns(lines.back()) + 1 + Columns(word) <= columns) {
      lines.back() += " " + word;
    } else {
      lines.push_back(word);
    }
  }
  return lines;
}

// "a, b or c".
std::string Listed(const std::vector<std::string>& words) {
  if (words.size() < 2) return words.empty() ? "" : words.front();
  const std::vector<std::string> first(words.begin(), words.end() - 1);
  return fmt::format("{} or {}", fmt::join(first, ", "), words.back());
}

bool Names(const std::string& description, const std::vector<std::string>& words) {
  return std::ranges::all_of(words, [&](const std::string& word) {
    for (size_t at = description.find(word); at != description.npos; at = description.find(word, at + 1)) {
      const auto is_letter = [&](size_t i) {
        return i < description.size() && std::isalnum(static_cast<unsigned char>(description[i])) != 0;
      };
      if (!is_letter(at - 1) && !is_letter(at + word.size())) return true;
    }
    return false;
  });
}

}  // namespace

OptionKind ParseOptionKind(const std::string& type_name) {
  OptionKind kind;
  const size_t colon = type_name.find(':');
  const std::string type = type_name.substr(0, colon);
  const std::string rule = colon == type_name.npos ? "" : type_name.substr(colon + 1);
  kind.name = type == "UINT" || type == "INT" ? "N" : type == "FLOAT" ? "NUMBER" : type;
  // IsMember says "{a,b}", CheckedTransformer "value in {a->1,b->2} OR {1,2}".
  if (const size_t open = rule.find('{'), close = rule.find('}'); open != rule.npos && close != rule.npos) {
    std::istringstream list(rule.substr(open + 1, close - open - 1));
    for (std::string word; std::getline(list, word, ',');) {
      kind.choices.push_back(word.substr(0, word.find("->")));
    }
    kind.name = "WORD";
  }
  // Range says "UINT in [1 - 100]".
  if (const size_t open = rule.find(" in ["), close = rule.find(']'); open != rule.npos) {
    const std::string both = rule.substr(open + 5, close - open - 5);
    const size_t dash = both.find(" - ");
    if (dash != both.npos) kind.range = both.substr(0, dash) + " to " + both.substr(dash + 3);
  }
  if (rule.find("POSITIVE") != rule.npos) kind.range = "above 0";
  if (rule.find("NONNEGATIVE") != rule.npos) kind.range = "0 or more";
  return kind;
}

std::string HelpFormatter::Entry(const std::string& left, const std::string& description) const {
  const size_t indent = get_column_width();
  std::string text = "  " + left;
  // Two columns between the name and its description, else the description has lines of its own.
  bool same_line = Columns(text) + 2 <= indent;
  for (const std::string& line : Wrap(description, kHelpColumns - indent)) {
    if (!same_line) text += '\n';
    const size_t begin = text.rfind('\n') + 1;  // 0 if there is none
    text += std::string(indent - Columns(std::string_view(text).substr(begin)), ' ') + line;
    same_line = false;
  }
  return text + "\n";
}

std::string HelpFormatter::make_option(const CLI::Option* option, bool is_positional) const {
  std::string left = make_option_name(option, is_positional), details;
  // A flag that turns something off is called "--no-x{false}".
  if (const size_t brace = left.find('{'); brace != left.npos) left.erase(brace, left.find('}') - brace + 1);
  const auto add = [&](const std::string& detail) { details += (details.empty() ? "" : "; ") + detail; };
  const OptionKind kind = ParseOptionKind(option->get_type_name());
  const bool takes_value = option->get_type_size() != 0;
  if (takes_value && !kind.name.empty()) left += " " + kind.name;
  if (takes_value && option->get_expected_max() > 1) left += " ...";
  if (option->get_required()) add("required");
  if (!kind.choices.empty() && !Names(option->get_description(), kind.choices)) add(Listed(kind.choices));
  if (!kind.range.empty()) add(kind.range);
  if (takes_value && !option->get_default_str().empty()) {
    add((option->get_expected_min() == 0 ? "without a value: " : "default: ") + option->get_default_str());
  }
  return Entry(left, option->get_description() + (details.empty() ? "" : " (" + details + ")"));
}

std::string HelpFormatter::make_usage(const CLI::App* app, std::string name) const {
  // A blank line sets it apart from what the verb does.
  return "\n" + CLI::Formatter::make_usage(app, std::move(name));
}

std::string HelpFormatter::make_subcommand(const CLI::App* sub) const {
  return Entry(sub->get_name(), sub->get_description());
}

}  // namespace qwen25

// Help texts for people: kinds of values and choices in words, lines that fit a page.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace qwen25 {

// No line of a help text is longer. Verbs wrap their footers by hand.
inline constexpr size_t kHelpColumns = 110;

// Descriptions are wrapped. What the parser knows of an option follows its description in brackets: the
// choices that it does not name itself, the range, the default.
class HelpFormatter : public CLI::Formatter {
 public:
  HelpFormatter() { column_width(36); }

  std::string make_option(const CLI::Option* option, bool is_positional) const override;
  std::string make_usage(const CLI::App* app, std::string name) const override;
  std::string make_subcommand(const CLI::App* sub) const override;

 private:
  std::string Entry(const std::string& left, const std::string& description) const;
};

// What an option takes, as CLI11 tells it: "UINT:INT in [0 - 100]", "TEXT:{text,blocks}".
struct OptionKind {
  std::string name;  // "N", "NUMBER", "TEXT"; empty for flags
  std::vector<std::string> choices;
  std::string range;  // "0 to 100"
};
OptionKind ParseOptionKind(const std::string& type_name);

}  // namespace qwen25

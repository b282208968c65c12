#include "cli/flags/check_numbers.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <string>

namespace qwen25 {
namespace {

// Zeros in front are removed: for the parser they announce an octal number.
std::string CheckDigits(std::string& text) {
  if (text.empty() || text.find_first_not_of("0123456789") != text.npos) {
    return fmt::format("\"{}\" is not a whole number from 0 up", text);
  }
  text.erase(0, std::min(text.find_first_not_of('0'), text.size() - 1));
  return "";
}

std::string CheckFinite(const std::string& text) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc() && end == text.data() + text.size() && std::isfinite(number)) return "";
  return fmt::format("\"{}\" is not a number, such as 0.5 or 1e-3", text);
}

}  // namespace

void CheckNumbers(CLI::App& app) {
  for (CLI::Option* option : app.get_options()) {
    const std::string type = option->get_type_name().substr(0, option->get_type_name().find(':'));
    // Without a description, which would stand in the help text.
    if (type == "UINT" || type == "INT") {
      option->transform(CLI::Validator([](std::string& text) { return CheckDigits(text); }, ""));
    } else if (type == "FLOAT") {
      option->transform(CLI::Validator([](std::string& text) { return CheckFinite(text); }, ""));
    }
  }
  for (CLI::App* verb : app.get_subcommands({})) CheckNumbers(*verb);
}

}  // namespace qwen25

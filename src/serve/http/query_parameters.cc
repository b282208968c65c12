#include "serve/http/query_parameters.h"

#include <algorithm>
#include <charconv>

namespace qwen25 {

Result<std::string> PercentDecoded(std::string_view text) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      decoded += text[i];
      continue;
    }
    const std::string_view digits = text.substr(std::min(i + 1, text.size()), 2);
    unsigned value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
    if (digits.size() != 2 || error != std::errc() || end != digits.data() + 2) {
      return InvalidArgument("a percent sign in the address is not followed by two hexadecimal digits");
    }
    decoded += static_cast<char>(value);
    i += 2;
  }
  return decoded;
}

Result<std::map<std::string, std::string>> ParseQuery(std::string_view query) {
  std::map<std::string, std::string> parameters;
  while (!query.empty()) {
    const size_t end = std::min(query.find('&'), query.size());
    std::string part(query.substr(0, end));
    query.remove_prefix(std::min(end + 1, query.size()));
    if (part.empty()) continue;
    std::ranges::replace(part, '+', ' ');
    const size_t equals = std::min(part.find('='), part.size());
    QWEN25_TRY(std::string name, PercentDecoded(std::string_view(part).substr(0, equals)));
    QWEN25_TRY(std::string value,
               PercentDecoded(std::string_view(part).substr(std::min(equals + 1, part.size()))));
    if (!parameters.emplace(name, std::move(value)).second) {
      return InvalidArgument("the address has the parameter \"{}\" twice", name);
    }
  }
  return parameters;
}

}  // namespace qwen25

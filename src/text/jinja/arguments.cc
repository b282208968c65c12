#include "text/jinja/arguments.h"

#include <algorithm>

namespace qwen25::jinja {

Result<BoundArguments> BoundArguments::Bind(std::string_view function, std::string_view signature,
                                            Arguments arguments) {
  BoundArguments bound;
  bound.function_ = function;
  std::vector<bool> is_optional;
  size_t num_nameless = 0;
  for (size_t at = 0; at < signature.size();) {
    const size_t end = std::min(signature.find(' ', at), signature.size());
    std::string_view name = signature.substr(at, end - at);
    at = end + 1;
    if (name == "/") {
      num_nameless = bound.names_.size();
      continue;
    }
    is_optional.push_back(name.ends_with('?'));
    if (is_optional.back()) name.remove_suffix(1);
    bound.names_.push_back(name);
  }
  const size_t count = bound.names_.size();
  if (arguments.positional.size() > count) {
    return InvalidArgument("\"{}\" takes at most {} arguments, not {}", function, count,
                           arguments.positional.size());
  }
  bound.values_.resize(count);
  std::ranges::move(arguments.positional, bound.values_.begin());
  for (auto& [name, value] : arguments.named) {
    const auto found = std::ranges::find(bound.names_, name);
    const auto i = static_cast<size_t>(found - bound.names_.begin());
    if (i >= count || i < num_nameless)
      return InvalidArgument("\"{}\" has no parameter \"{}\"", function, name);
    if (bound.values_[i]) return InvalidArgument("\"{}\" is given \"{}\" twice", function, name);
    bound.values_[i] = std::move(value);
  }
  for (size_t i = 0; i < count; ++i) {
    if (!bound.values_[i] && !is_optional[i]) {
      return InvalidArgument("\"{}\" needs the argument \"{}\"", function, bound.names_[i]);
    }
  }
  return bound;
}

Result<int64_t> BoundArguments::Int(size_t i, int64_t otherwise) const {
  if (!Has(i)) return otherwise;
  if (const std::optional<int64_t> number = values_[i]->AsInt()) return *number;
  return InvalidArgument("\"{}\": \"{}\" is {}, expected an integer of 64 bits", function_, names_[i],
                         values_[i]->TypeName());
}

Result<MarkedText> BoundArguments::Text(size_t i) const {
  if (Has(i) && values_[i]->is_string()) return values_[i]->marked();
  return InvalidArgument("\"{}\": \"{}\" is {}, expected a string", function_, names_[i], Get(i).TypeName());
}

Result<std::optional<std::string>> BoundArguments::OptionalText(size_t i) const {
  if (!Has(i) || values_[i]->is_none()) return std::optional<std::string>();
  QWEN25_TRY(const MarkedText text, Text(i));
  return std::optional(text.text());
}

}  // namespace qwen25::jinja

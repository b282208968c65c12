// The arguments of filters, methods and functions by the names of their parameters.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "text/jinja/objects.h"
#include "text/jinja/value.h"

namespace qwen25::jinja {

class BoundArguments {
 public:
  // `signature` names the parameters, separated by spaces: those with "?" may be left out, "/" ends those
  // that take no names. kInvalidArgument, naming `function`, if the arguments do not fit.
  static Result<BoundArguments> Bind(std::string_view function, std::string_view signature,
                                     Arguments arguments);

  // Whether parameter `i` was given.
  bool Has(size_t i) const { return i < values_.size() && values_[i].has_value(); }
  // The value of parameter `i`, none if it was not given.
  Value Get(size_t i) const { return Has(i) ? *values_[i] : Value(); }
  // Python's truth of it; `otherwise` if it was not given.
  bool Bool(size_t i, bool otherwise) const { return Has(i) ? values_[i]->Truth() : otherwise; }
  // kInvalidArgument for a value of another type.
  Result<int64_t> Int(size_t i, int64_t otherwise) const;
  Result<MarkedText> Text(size_t i) const;
  // Nothing for none, and if it was not given.
  Result<std::optional<std::string>> OptionalText(size_t i) const;

 private:
  std::string_view function_;
  std::vector<std::string_view> names_;
  std::vector<std::optional<Value>> values_;
};

}  // namespace qwen25::jinja

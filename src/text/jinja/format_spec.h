// How one value is laid out by a format. Included by format*.cc only.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "text/jinja/interpreter.h"

namespace qwen25::jinja {

struct FormatSpec {
  std::string fill = " ";  // one character
  char align = '\0';       // '<', '>', '^', '=' (between sign and digits), or 0: by type
  char sign = '-';         // '-', '+' or ' '
  bool is_alternate = false;
  bool has_zeros = false;
  char grouping = '\0';  // ',' or '_' between groups of digits
  std::optional<int64_t> width, precision;
  char type = '\0';  // as in Python's format(); 0: by the value
};

// [[fill]align][sign][#][0][width][grouping][.precision][type]
Result<FormatSpec> ParseFormatSpec(std::string_view text);

// format(value, spec).
Result<MarkedText> FormatValue(const Value& value, const FormatSpec& spec, Interpreter& interpreter);

// A number without white space around it: sign, prefix, digits. kInvalidArgument if `spec.type` does not take
// the value.
Result<std::string> NumberText(const Value& value, const FormatSpec& spec);

// `text`, filled to `spec.width` characters.
Result<MarkedText> Padded(const MarkedText& text, const FormatSpec& spec, char align,
                          Interpreter& interpreter);

}  // namespace qwen25::jinja

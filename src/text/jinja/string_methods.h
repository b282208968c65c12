// The methods of Python's str.
#pragma once

#include <string_view>

#include "base/status.h"
#include "text/jinja/interpreter.h"

namespace qwen25::jinja {

bool IsStringMethod(std::string_view name);
Result<Value> CallStringMethod(const Value& self, std::string_view name, Arguments& arguments,
                               Interpreter& interpreter);

// separator.join(texts), for the filter join, too.
Result<MarkedText> JoinTexts(const MarkedText& separator, const std::vector<MarkedText>& texts,
                             Interpreter& interpreter);
// text.replace(from, to, limit) with the size of the result checked first.
Result<MarkedText> CheckedReplace(const MarkedText& text, const MarkedText& from, const MarkedText& to,
                                  int64_t limit, Interpreter& interpreter);

}  // namespace qwen25::jinja

// Python's two ways to put values into texts: the operator % and str.format.
#pragma once

#include <string_view>

#include "base/status.h"
#include "text/jinja/interpreter.h"

namespace qwen25::jinja {

// "%s: %5.2f" % (name, number), or with a dictionary: "%(name)s" % values. kInvalidArgument if text and
// values do not fit together.
Result<Value> FormatPercent(const Value& format, const Value& values, Interpreter& interpreter);

// "{}, {name!r:>10}".format(arguments).
Result<Value> FormatBraces(const Value& format, const Arguments& arguments, Interpreter& interpreter);

}  // namespace qwen25::jinja

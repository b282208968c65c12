// Values as text, as Python's str() and repr() write them.
#pragma once

#include <string>

#include "base/status.h"
#include "text/jinja/interpreter.h"
#include "text/jinja/marked_text.h"
#include "text/jinja/value.h"

namespace qwen25::jinja {

// kResourceExhausted if the text would be too long.
Result<MarkedText> Str(const Value& value, Interpreter& interpreter);
Result<MarkedText> Repr(const Value& value, Interpreter& interpreter);

// "1.0", "1e-05", "nan".
std::string FloatText(double value);

}  // namespace qwen25::jinja

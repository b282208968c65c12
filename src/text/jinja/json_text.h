// Values as JSON, as the filter tojson of Hugging Face transformers writes it: Python's json.dumps.
#pragma once

#include <optional>
#include <string>

#include "base/status.h"
#include "text/jinja/interpreter.h"

namespace qwen25::jinja {

struct JsonStyle {
  bool only_ascii = false;
  std::optional<std::string> indent = {};  // of each level; none: one line
  std::string between_items = ", ", between_key_and_value = ": ";
  bool sort_keys = false;
};

// kInvalidArgument for values that JSON does not have.
Result<MarkedText> ToJson(const Value& value, const JsonStyle& style, Interpreter& interpreter);

}  // namespace qwen25::jinja

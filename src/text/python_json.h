// JSON text exactly as Python's json.dumps(value, ensure_ascii=False) writes it. Chat templates put tool
// signatures into the prompt through it, so models have seen this spacing and this number format and no
// other.
#pragma once

#include <string>

#include "base/json.h"

namespace qwen25 {

// Keys keep their order, items are separated by ", " and keys from values by ": ", only control characters,
// '"' and '\' are escaped, and a float prints as the shortest decimal that reads back as the same double,
// with an exponent outside [1e-4, 1e16). An integer above 2^64 has become a double when `value` was parsed.
std::string PythonJson(const Json& value);

// Appends PythonJson(value) to `out`.
void AppendPythonJson(const Json& value, std::string& out);

}  // namespace qwen25

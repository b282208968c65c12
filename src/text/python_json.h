// Writes JSON exactly as Python's json.dumps(value, ensure_ascii=False) does, and reads it as json.loads
// does. Chat templates put tool signatures into prompts in this form, so models have seen no other spacing
// and number format.
#pragma once

#include <string>
#include <string_view>

#include "base/json.h"
#include "base/status.h"

namespace qwen25 {

// Keys keep their order, items are separated by ", " and keys from values by ": ", only control characters,
// '"' and '\' are escaped, and a float prints as the shortest decimal that reads back as the same double,
// with an exponent outside [1e-4, 1e16). With `indent` 0 or more, every item has a line of its own, as with
// json.dumps(indent=...).
std::string PythonJson(const Json& value, int indent = -1);

// Appends PythonJson(value) to `out`.
void AppendPythonJson(const Json& value, std::string& out);

// Parses as ParseJson does, except that integers beyond 64 bits keep all their digits, as in Python: in the
// result they are binary values that PythonJson writes as the number again (and Json::dump does not).
Result<Json> ParsePythonJson(std::string_view text, std::string_view origin);

// An integer of any size as ParsePythonJson gives it; `digits` may begin with a minus.
Json BigInteger(std::string_view digits);

// How an unexpected value is shown in a message: its text, cut to a line's worth.
std::string ShownJson(const Json& value);

}  // namespace qwen25

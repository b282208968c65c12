// What follows the question mark of a request's target.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/status.h"

namespace qwen25 {

// "%20" as the byte that it stands for. kInvalidArgument if two hexadecimal digits do not follow a percent
// sign.
Result<std::string> PercentDecoded(std::string_view text);

// "a=1&b=x%20y" by name; a plus stands for a space. kInvalidArgument for a name that comes twice, and errors
// of PercentDecoded.
Result<std::map<std::string, std::string>> ParseQuery(std::string_view query);

}  // namespace qwen25

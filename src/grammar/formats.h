// The names that JSON Schema's `format` may have.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace qwen25::grammar {

// The pattern (pattern.h) that a string of this format matches; nothing for a format that is not handled.
// Some rare forms are left out: leap seconds, comments and quotes in addresses of mail, a sum of lengths.
std::optional<std::string> FormatPattern(std::string_view format);

// Whether the format says something about numbers only, or nothing that a text could violate ("password").
bool IsFormatWithoutPattern(std::string_view format);

}  // namespace qwen25::grammar

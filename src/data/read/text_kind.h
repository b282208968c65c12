// Telling text from everything else by its bytes, so that a wrong file is refused by the name of what it is.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

#include "base/status.h"

namespace qwen25 {

// How many bytes of the beginning of a file NameOfBinary wants to see: a tar archive says what it is at 257.
inline constexpr size_t kKindBytes = 512;

// What a file that begins with these bytes is, if it is not text in UTF-8: "a PNG image", "UTF-16 text".
std::optional<std::string_view> NameOfBinary(std::string_view first_bytes);

// kInvalidArgument, naming `origin`, what it is and what to do, if the first bytes of a file are not those of
// text.
Status CheckIsText(std::string_view first_bytes, std::string_view origin);

}  // namespace qwen25

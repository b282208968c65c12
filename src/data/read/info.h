// GNU Info manuals as readable text.
#pragma once

#include <string>
#include <string_view>

namespace qwen25 {

// The text of an Info file (Texinfo manual, "Info Format Specification") without its machinery: node headers,
// tag tables, index marks. The bytes may hold the NULs of those marks.
std::string RenderInfo(std::string_view source);

}  // namespace qwen25

// Manual pages as readable text: man(7) and mdoc(7), the two macro packages that pages are written in, on top
// of the language below them (roff_source.h). Headings stand at the margin, text is indented by four columns
// and filled to lines of 80, literal blocks and tables keep their lines; fonts are dropped.
#pragma once

#include <string>
#include <string_view>

namespace qwen25 {

// The text of one page; well-formed UTF-8 in gives well-formed UTF-8 out. Any input is accepted: a line that
// is not a macro is text, and unknown macros vanish. A page that only names another (`.so`) has no text.
std::string RenderRoff(std::string_view source);

}  // namespace qwen25

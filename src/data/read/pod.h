// Perl's documentation format (perlpod(1)) as readable text, and the code of a module without it.
#pragma once

#include <string>
#include <string_view>

namespace qwen25 {

// A Perl file in its two parts.
struct PodAndCode {
  std::string documentation;  // the POD, rendered: headings at the margin, text filled to 80 columns
  std::string code;           // what Perl runs, up to __END__ or __DATA__; empty for a .pod file
};

// Well-formed UTF-8 in gives well-formed UTF-8 out; any input is accepted.
PodAndCode SplitPod(std::string_view source);

// One paragraph's formatting codes (`B<bold>`, `C<< a > b >>`, `E<lt>`, `L<text|page>`) as text.
std::string ExpandPodCodes(std::string_view paragraph);

}  // namespace qwen25

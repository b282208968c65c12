#include "cli/flags/text_flag.h"

#include <iostream>
#include <iterator>

#include "base/file.h"

namespace qwen25 {

Result<std::string> ReadTextFlag(const std::optional<std::string>& text, const std::string& file,
                                 const char* what) {
  if (text.has_value() != file.empty())
    return InvalidArgument("give either --{} TEXT or --{}-file FILE (- reads standard input)", what, what);
  if (file.empty()) return *text;
  if (file != "-") return ReadFile(file);
  return std::string(std::istreambuf_iterator<char>(std::cin), {});
}

}  // namespace qwen25

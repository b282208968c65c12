#include "cli/flags/text_flag.h"

#include "data/read/text_stream.h"

namespace qwen25 {

Result<std::string> ReadTextFlag(const std::optional<std::string>& text, const std::string& file,
                                 const char* what) {
  if (text.has_value() != file.empty())
    return InvalidArgument("give either --{} TEXT or --{}-file FILE (- reads standard input)", what, what);
  return file.empty() ? Result<std::string>(*text) : ReadText(file);
}

}  // namespace qwen25

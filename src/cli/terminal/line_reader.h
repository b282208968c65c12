// Lines from a person or a pipe.
#pragma once

#include <optional>
#include <string>

namespace qwen25 {

// At a terminal: editing and history (libedit). From a pipe: plain lines, no prompt. A line that ends in a
// backslash goes on in the next one.
class LineReader {
 public:
  explicit LineReader(bool terminal) : terminal_(terminal) {}

  // Nothing at the end of the input (Ctrl-D), and if the program is to end. Ctrl-C at the prompt empties the
  // line.
  std::optional<std::string> Read(const char* prompt);

 private:
  bool terminal_;
};

}  // namespace qwen25

// The language below the macro packages: reads a roff source line by line, defines and calls macros, decides
// conditions and expands escapes, so that a renderer sees only text and the macros of its package.
// The requests and their meaning: groff(7).
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/read/roff/roff_escapes.h"

namespace qwen25 {

struct RoffArgument {
  std::string text;      // escapes expanded
  bool literal = false;  // was quoted or began with `\&`: never the name of a macro
};

struct RoffLine {
  std::string name;  // of the macro or request; empty for a line of text
  std::vector<RoffArgument> arguments;
  std::string text;           // of a line of text, escapes expanded
  bool continuation = false;  // ended in `\c`: the next line follows without a space
};

class RoffSource {
 public:
  // `reserved`: macros of the package, which a page cannot redefine here. Borrowed, like `source`.
  RoffSource(std::string_view source, std::span<const std::string_view> reserved);

  // The next line that is text, or a macro or request that is not handled here; nothing at the end. A source
  // that calls its macros without end is cut off.
  std::optional<RoffLine> Next();

  RoffEscapes& escapes() { return escapes_; }

 private:
  using Lines = std::vector<std::string>;
  struct Frame {
    std::shared_ptr<const Lines> lines;
    size_t next = 0;
    std::vector<std::string> arguments;  // of the macro being called
  };

  bool Fetch(std::string& line);
  bool HandleRequest(std::string_view name, std::string_view rest, std::string& line, bool& again);
  bool IsReserved(std::string_view name) const;
  void DefineMacro(std::string_view rest, bool append);
  void SkipIgnored(std::string_view rest);
  bool Condition(std::string_view& rest);
  void SkipBlock(std::string_view rest);
  void SetRegister(std::string_view rest);

  std::span<const std::string_view> reserved_;
  RoffEscapes escapes_;
  std::vector<Frame> frames_;
  std::map<std::string, std::shared_ptr<const Lines>, std::less<>> macros_;
  std::map<std::string, std::string, std::less<>> aliases_;
  std::vector<bool> else_taken_;  // for each .ie still waiting for its .el
  size_t lines_left_;
};

// Splits the rest of a control line into its arguments: separated by spaces, `"in quotes"` with `""` for a
// quote, `\ ` for a space inside. Escapes stay as they are.
std::vector<std::string> SplitRoffArguments(std::string_view rest);

// The value of a numeric expression (left to right, no precedence, units ignored, as roff does); 0 if it
// cannot be read.
int EvaluateRoffExpression(std::string_view expression);

}  // namespace qwen25

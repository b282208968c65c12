// Expands the escapes of roff (`\fB`, `\(co`, `\*(lq`, `\-`, ...) to plain text. groff(7) and groff_char(7)
// define them.
#pragma once

#include <map>
#include <string>
#include <string_view>

namespace qwen25 {

// The strings and number registers that one source defines, which its escapes are expanded with. Any input is
// accepted: an unknown or cut escape disappears.
class RoffEscapes {
 public:
  RoffEscapes();

  // The text that `source` stands for: fonts, sizes and motions are gone; spaces that must not be broken are
  // U+00A0.
  std::string Expand(std::string_view source);
  // Whether a `\c` came up since the last call: the next line goes on without a space.
  bool TakeContinuation();

  void SetString(std::string_view name, std::string value);
  void AppendString(std::string_view name, std::string_view value);
  void SetRegister(std::string_view name, int value);
  int Register(std::string_view name) const;  // 0 if it was never set, as in roff

 private:
  struct Cursor {
    std::string_view source;
    size_t position;
  };
  static std::string_view TakeName(Cursor& cursor);
  static std::string_view TakeDelimited(Cursor& cursor);

  std::string Expand(std::string_view source, int depth);
  void ExpandOne(char letter, Cursor& cursor, int depth, std::string& out);

  std::map<std::string, std::string, std::less<>> strings_;
  std::map<std::string, int, std::less<>> registers_;
  bool continuation_ = false;
  size_t work_ = 0;  // bytes looked at for the current line, nested strings included
};

// The character `\[name]`; empty if the name is unknown.
std::string RoffCharacter(std::string_view name);

// `line` without its comment: everything from an unescaped `\"` or `\#` on.
std::string_view WithoutRoffComment(std::string_view line);

}  // namespace qwen25

#include "cli/terminal/line_reader.h"

#include <editline/readline.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <iostream>

#include "cli/terminal/interrupt.h"

namespace qwen25 {
namespace {

std::optional<std::string> ReadOne(bool terminal, const char* prompt) {
  if (InterruptGuard::ending()) return std::nullopt;
  std::fflush(stdout);  // whoever writes the next line, a program at a pipe, too, has seen everything before
  std::string line;
  if (!terminal) {
    if (!std::getline(std::cin, line)) return std::nullopt;
    return line;
  }
  // libedit asks its output for a descriptor, which a stream that main has put in the place of stdout lacks.
  static std::FILE* const screen = ::fdopen(::dup(STDOUT_FILENO), "w");
  rl_outstream = screen;
  char* text = ::readline(prompt);
  if (text == nullptr) {
    // libedit ends a read that a signal interrupted like the end of the input.
    if (!InterruptGuard::requested() || InterruptGuard::ending()) return std::nullopt;
    InterruptGuard::Reset();
    return "";
  }
  line = text;
  if (!line.empty()) ::add_history(text);
  std::free(text);
  return line;
}

}  // namespace

std::optional<std::string> LineReader::Read(const char* prompt) {
  std::optional<std::string> line = ReadOne(terminal_, prompt);
  while (line && !line->empty() && line->back() == '\\') {
    line->back() = '\n';
    const auto next = ReadOne(terminal_, "… ");
    if (!next) break;
    *line += *next;
  }
  return line;
}

}  // namespace qwen25

#include "cli/terminal/note_lines.h"

#include <ctime>

#include "knowledge/search_terms.h"
#include "text/utf8.h"

namespace qwen25 {
namespace {

constexpr size_t kSnippetBytes = 300;

}  // namespace

std::string LocalTime(int64_t milliseconds) {
  const std::time_t seconds = milliseconds / 1000;
  struct tm local {};
  ::localtime_r(&seconds, &local);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%d %H:%M", &local);
  return text;
}

std::string OneLine(std::string_view text, size_t room) {
  std::string line;
  for (const char c : text) {
    const bool space = c == '\n' || c == '\r' || c == '\t' || c == ' ';
    if (space && (line.empty() || line.back() == ' ')) continue;
    line += space ? ' ' : c;
    if (line.size() > room) break;
  }
  if (line.size() <= room) return line;
  line.resize(room - 3);
  line.resize(line.size() - IncompleteUtf8Suffix(line));
  return line + "...";
}

std::string Snippet(const std::string& text, const std::string& query) {
  const size_t begin = SnippetBegin(text, query, kSnippetBytes);
  return (begin == 0 ? "" : "...") + OneLine(std::string_view(text).substr(begin), kSnippetBytes);
}

}  // namespace qwen25

#include "data/read/info.h"

#include <algorithm>

namespace qwen25 {
namespace {

constexpr char kNodeSeparator = '\x1F';
constexpr std::string_view kMarkBegin("\0\b[", 3);  // "\0\b[index\0\b]" stands before a menu that is an index
constexpr std::string_view kMarkEnd("\0\b]", 3);

void AppendWithoutMarks(std::string_view text, std::string& out) {
  while (!text.empty()) {
    const size_t begin = std::min(text.find(kMarkBegin), text.size());
    out += text.substr(0, begin);
    text.remove_prefix(begin);
    const size_t end = text.find(kMarkEnd);
    if (text.empty() || end == std::string_view::npos) break;
    text.remove_prefix(end + kMarkEnd.size());
  }
}

// Parts that only programs read.
bool IsTable(std::string_view part) {
  for (const std::string_view name : {"Tag Table:", "End Tag Table", "Indirect:", "Local Variables:"})
    if (part.starts_with(name)) return true;
  return false;
}

}  // namespace

std::string RenderInfo(std::string_view source) {
  std::string out;
  while (!source.empty()) {
    const size_t end = std::min(source.find(kNodeSeparator), source.size());
    std::string_view part = source.substr(0, end);
    source.remove_prefix(std::min(end + 1, source.size()));
    part.remove_prefix(std::min(part.find_first_not_of("\n\f"), part.size()));
    if (IsTable(part)) continue;
    if (part.starts_with("File: ")) part.remove_prefix(std::min(part.find('\n'), part.size()));
    AppendWithoutMarks(part, out);
  }
  return out;
}

}  // namespace qwen25

#include "pretrained/hub/model_name.h"

#include <algorithm>
#include <array>

namespace qwen25 {
namespace {

constexpr size_t kMaxNameBytes = 96;  // of each part
constexpr size_t kMaxRevisionBytes = 255;

bool IsPlain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

bool IsNamePart(std::string_view part) {
  if (part.empty() || part.size() > kMaxNameBytes) return false;
  if (!std::ranges::all_of(part, [](char c) { return IsPlain(c) || c == '-' || c == '.'; })) return false;
  for (const char end : {part.front(), part.back()}) {
    if (end == '-' || end == '.') return false;
  }
  // "--" stands for the slash in names of folders.
  return part.find("--") == part.npos && part.find("..") == part.npos;
}

bool IsFormat(std::string_view text) {
  return text.size() <= kMaxNameBytes && !text.empty() &&
         std::ranges::all_of(text, [](char c) { return IsPlain(c) || c == '-' || c == '.'; });
}

}  // namespace

bool IsRepositoryName(std::string_view text) {
  const size_t slash = text.find('/');
  if (slash == text.npos) return IsNamePart(text);
  return IsNamePart(text.substr(0, slash)) && IsNamePart(text.substr(slash + 1));
}

bool IsRevisionName(std::string_view text) {
  return text.size() <= kMaxRevisionBytes && IsSafeRelativePath(text) &&
         std::ranges::all_of(text, [](char c) { return IsPlain(c) || c == '-' || c == '.' || c == '/'; });
}

bool IsCommitHash(std::string_view text) {
  return text.size() == 40 &&
         std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool IsSafeRelativePath(std::string_view path) {
  if (path.empty() || path.size() > 1024 || path.find('\0') != path.npos || path.find('\\') != path.npos) {
    return false;
  }
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view part = path.substr(begin, end - begin);
    if (part.empty() || part == "." || part == ".." || part.size() > 255) return false;
    begin = end + 1;
  }
  return true;
}

const std::string& ModelName::revision_or_main() const {
  static const std::string kMain = "main";
  return revision.empty() ? kMain : revision;
}

std::string ModelName::Text() const {
  return repository + (format.empty() ? "" : ":" + format) + (revision.empty() ? "" : "@" + revision);
}

Result<ModelName> ModelName::Parse(std::string_view text) {
  const std::string_view whole = text;
  const auto wrong = [&](std::string_view what) {
    return InvalidArgument(
        "\"{}\" names no model: {}; expected a name as in Qwen/Qwen2.5-0.5B-Instruct, "
        "Qwen/Qwen2.5-0.5B-Instruct-GGUF:Q4_K_M or ORGANISATION/NAME@REVISION",
        whole, what);
  };
  constexpr std::array<std::string_view, 4> kPrefixes = {"https://huggingface.co/", "https://hf.co/",
                                                         "hf.co/", "hf://"};
  for (const std::string_view prefix : kPrefixes) {
    if (text.starts_with(prefix)) {
      text.remove_prefix(prefix.size());
      break;
    }
  }
  while (text.ends_with('/')) text.remove_suffix(1);
  ModelName name;
  if (const size_t at = text.find('@'); at != text.npos) {
    name.revision = text.substr(at + 1);
    if (!IsRevisionName(name.revision)) return wrong("what follows @ is no revision");
    text = text.substr(0, at);
  }
  if (const size_t colon = text.find(':'); colon != text.npos) {
    name.format = text.substr(colon + 1);
    if (!IsFormat(name.format)) return wrong("what follows : is no format");
    text = text.substr(0, colon);
  }
  if (!IsRepositoryName(text)) return wrong("it needs an organisation and a name");
  name.repository = text;
  return name;
}

}  // namespace qwen25

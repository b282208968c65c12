// One text of a corpus and where it came from.
#pragma once

#include <string>

namespace qwen25 {

struct Document {
  std::string id;      // unique in a corpus: the path, and for part of a file "#" and which part
  std::string source;  // the kind that its SourceSpec names: "python", "manual", ...
  std::string text;    // UTF-8
};

}  // namespace qwen25

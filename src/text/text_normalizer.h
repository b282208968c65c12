// Runs the steps of a normalizer (tokenizer_steps.h).
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "text/code_point_set.h"
#include "text/regex.h"
#include "text/tokenizer_steps.h"

namespace qwen25 {

// Immutable and cheap to copy; safe to use from many threads at once.
class TextNormalizer {
 public:
  // kUnsupported or kCorrupt, naming `origin`, for patterns that are not handled.
  static Result<TextNormalizer> Create(std::span<const NormalizerStep> steps, std::string_view origin);

  // The normalised form of `text`, which is well-formed: `text` itself if nothing changes, else in `out`.
  std::string_view Apply(std::string_view text, std::string& out) const;

 private:
  struct Step {
    NormalizerStep step;
    std::optional<Regex> regex;       // of kReplace by an expression
    std::optional<CodePointSet> set;  // of kStripAccents
  };
  // The result in `out`; false if nothing changes, and `out` is then unspecified.
  static bool ApplyStep(const Step& step, std::string_view text, std::string& out);

  std::vector<Step> steps_;
};

// `text` with every match of `pattern` (`regex` if it is an expression) replaced by `content`, appended to
// `out`.
void AppendReplaced(std::string_view text, const TextPattern& pattern, const Regex* regex,
                    std::string_view content, std::string& out);

}  // namespace qwen25

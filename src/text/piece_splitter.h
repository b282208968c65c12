// Runs the steps of a pre-tokenizer (tokenizer_steps.h): text to the pieces inside which merges happen.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "text/code_point_set.h"
#include "text/pre_tokenizer.h"
#include "text/regex.h"
#include "text/tokenizer_steps.h"

namespace qwen25 {

// The steps that PreTokenizer does by hand, for byte-level models.
std::vector<SplitStep> StepsOf(PreTokenizerKind kind);
// GPT-2's pattern and its like as a step that isolates matches of an expression.
SplitStep PatternStep(std::string_view regex);
// The last step of a byte-level model: no cuts, pieces are bytes from there on.
SplitStep PlainByteLevelStep();

// The hand-written scanner that makes the pieces of these steps, but for a space in front of the text; none
// if there is no such scanner.
std::optional<PreTokenizerKind> FastKindOf(std::span<const SplitStep> steps);

// Immutable and cheap to copy; safe to use from many threads at once, each with its own Scratch.
class PieceSplitter {
 public:
  struct Span {
    size_t begin, end;
  };
  struct Scratch {
    std::string text, changed;  // where pieces lie that differ from the given text
    std::vector<Span> spans, next;
    Regex::Scratch regex;
  };
  struct Pieces {
    std::string_view text;        // the given text, or one in the scratch
    std::span<const Span> spans;  // not empty, ascending, in `text`
  };

  // Without steps, a text is one piece. kUnsupported or kCorrupt, naming `origin`, for patterns that are not
  // handled.
  static Result<PieceSplitter> Create(std::span<const SplitStep> steps, std::string_view origin);

  // FastKindOf the steps.
  std::optional<PreTokenizerKind> fast_kind() const { return fast_kind_; }
  // With fast_kind: whether a space is put before a text that begins without one.
  bool adds_prefix_space() const { return adds_prefix_space_; }
  // Whether there is no step at all.
  bool is_trivial() const { return steps_.empty() && !fast_kind_; }

  // `text` is well-formed and normalised; `at_start` says whether it begins the whole input. The result is
  // valid until the next call with this scratch.
  Pieces Split(std::string_view text, bool at_start, Scratch& scratch) const;

 private:
  struct Step {
    enum class Kind { kRegex, kSet, kPrefixSpace, kMetaspace, kAlphabet } kind;
    std::optional<Regex> regex;
    std::optional<CodePointSet> set;
    SplitBehavior behavior = SplitBehavior::kIsolated;
    bool invert = false;
    SplitStep metaspace = {};
  };
  Status AddStep(const SplitStep& step, std::string_view origin);
  Status AddRegex(std::string_view regex, SplitBehavior behavior, bool invert, std::string_view origin);
  void AddSet(const icu::UnicodeSet& set, SplitBehavior behavior, bool invert = false);

  std::vector<Step> steps_;
  std::optional<PreTokenizerKind> fast_kind_;
  bool adds_prefix_space_ = false;
};

}  // namespace qwen25

// Regular expressions as Hugging Face `tokenizers` reads them in tokenizer.json (Oniguruma's default syntax),
// matched on UTF-8: leftmost, and of the matches that begin there the one that backtracking finds first.
//
// Handled: literals, escapes, brackets with ranges, nesting, && and [:names:], \p{..}, \s \d \w \h and their
// complements, . ^ $ \A \z \Z \b \B, groups, alternatives, greedy, lazy and possessive repeats, atomic
// groups, lookahead, lookbehind of fixed width, (?i) and (?m), comments. Everything else is refused by name:
// references to groups, \K \R \X \G \y, conditions, (?x), names of classes that Unicode 16 does not have,
// repeats of what may be empty, and letters without case whose folding has several letters ("ss" and U+00DF).
//
// No pattern takes exponential time: once a search backtracks a lot, it remembers which states have failed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "base/status.h"

namespace qwen25 {

struct RegexProgram;

// Immutable and cheap to copy; safe to use from many threads at once, each with its own Scratch.
class Regex {
 public:
  // Working memory of one search at a time.
  struct Scratch {
    struct Entry {
      uint32_t instruction;
      bool is_run;      // a run of characters that may end earlier, down to `least`
      bool is_failure;  // when popped, `instruction` has failed at `position`
      size_t position;
      size_t least;
      size_t longest;
    };
    struct Range {
      size_t first = 1, last = 0;
    };
    std::vector<Entry> stack;
    std::vector<Range> failed_runs;       // by instruction: where a run and what follows it cannot match
    std::unordered_set<uint64_t> failed;  // instruction << 42 | position
    size_t num_steps_back = 0;
    bool has_failed_runs = false;  // since they were reset
  };
  struct Match {
    size_t begin, end;
  };

  // kUnsupported for what is not handled, kCorrupt for what no syntax has; the message names `origin` and
  // shows the pattern.
  static Result<Regex> Compile(std::string_view pattern, std::string_view origin);

  // The first match that begins at `from` or later. `text` is well-formed UTF-8 and below 4 TiB.
  std::optional<Match> Find(std::string_view text, size_t from, Scratch& scratch) const;

  // Calls visit(size_t begin, size_t end) for all matches from left to right; an empty match right after
  // another match does not count.
  template <typename Visit>
  void ForEachMatch(std::string_view text, Scratch& scratch, Visit&& visit) const {
    size_t from = 0, last_end = static_cast<size_t>(-1);
    while (from <= text.size()) {
      const std::optional<Match> match = Find(text, from, scratch);
      if (!match) return;
      const bool counts = match->end > match->begin || match->end != last_end;
      if (counts) visit(match->begin, match->end);
      if (counts) last_end = match->end;
      from = match->end;
      if (counts) continue;
      ++from;  // past the character after an empty match
      while (from < text.size() && (text[from] & 0xC0) == 0x80) ++from;
    }
  }

 private:
  explicit Regex(std::shared_ptr<const RegexProgram> program) : program_(std::move(program)) {}

  std::shared_ptr<const RegexProgram> program_;
};

}  // namespace qwen25

// The matcher of regular expressions (regex.h): a backtracking machine with its own stack.
//
// Runs of one set of characters, the bulk of all patterns, take one stack entry, whatever their length. When
// a run has been tried at every length without success, what follows it cannot match anywhere in that range;
// so a later run that reaches the range is not tried again, and a pattern such as \s+$ stays linear on long
// white space. The other choices are remembered once a search has stepped back often.
#include "text/regex.h"

#include <algorithm>

#include "text/regex_program.h"

namespace qwen25 {
namespace {

using Instruction = RegexInstruction;
using Scratch = Regex::Scratch;

constexpr size_t kFail = static_cast<size_t>(-1);
constexpr size_t kFreeStepsBack = 4096;  // of one search, before failures are remembered

const CodePointSet& WordCharacters() {
  static const CodePointSet set(WordSet(false));
  return set;
}

size_t Before(std::string_view text, size_t at) {
  --at;
  while (at > 0 && (text[at] & 0xC0) == 0x80) --at;
  return at;
}

class Machine {
 public:
  Machine(const RegexProgram& program, std::string_view text, Scratch& scratch)
      : program_(program), text_(text), scratch_(scratch) {}

  // Where a match of the program from `pc` on, at `position`, ends; kFail if there is none.
  size_t Run(uint32_t pc, size_t position) {
    const size_t base = scratch_.stack.size();
    while (true) {
      const Instruction& instruction = program_.instructions[pc];
      bool good = true;
      switch (instruction.kind) {
        case Instruction::Kind::kEnd:
          scratch_.stack.resize(base);
          return position;
        case Instruction::Kind::kSet: {
          const uint32_t bytes = MatchSet(instruction.set, position);
          good = bytes > 0;
          position += bytes;
          ++pc;
          break;
        }
        case Instruction::Kind::kRun:
          good = TakeRun(pc, instruction, position);
          ++pc;
          break;
        case Instruction::Kind::kSplit:
          good = Split(pc, instruction, position);
          break;
        case Instruction::Kind::kJump:
          pc = instruction.second;
          break;
        case Instruction::Kind::kLook:
          good = Look(pc, instruction, position) != instruction.negative;
          pc = instruction.second;
          break;
        case Instruction::Kind::kAtomic:
          position = Run(pc + 1, position);
          good = position != kFail;
          pc = instruction.second;
          break;
        case Instruction::Kind::kAssert:
          good = Holds(instruction.assertion, position);
          ++pc;
          break;
      }
      if (!good && !StepBack(base, pc, position)) return kFail;
    }
  }

 private:
  uint32_t MatchSet(uint32_t set, size_t position) const {
    if (position >= text_.size()) return 0;
    return program_.sets[set].Match(text_.data() + position, text_.data() + text_.size());
  }

  bool TakeRun(uint32_t pc, const Instruction& run, size_t& position) {
    const CodePointSet& set = program_.sets[run.set];
    const char* const end = text_.data() + text_.size();
    const char* p = text_.data() + position;
    uint32_t count = 0;
    const auto take = [&](uint32_t most) {
      for (; count < most && p < end; ++count) {
        const uint32_t bytes = set.Match(p, end);
        if (bytes == 0) break;
        p += bytes;
      }
    };
    take(run.least);
    if (count < run.least) return false;
    const auto shortest = static_cast<size_t>(p - text_.data());
    const bool unlimited = run.most == RegexNode::kUnlimited;
    const Scratch::Range& failed = scratch_.failed_runs[pc];
    if (unlimited && !run.keeps_all && failed.first <= shortest && shortest <= failed.last) return false;
    take(run.most);
    position = static_cast<size_t>(p - text_.data());
    if (position == shortest || run.keeps_all) return true;
    const size_t longest = position;
    // What follows the run is known to fail in a range that begins after `shortest`.
    if (unlimited && failed.first <= position && position <= failed.last)
      position = Before(text_, failed.first);
    scratch_.stack.push_back({pc, true, false, position, shortest, longest});
    return true;
  }

  bool Split(uint32_t& pc, const Instruction& split, size_t position) {
    const bool possible =
        position < text_.size()
            ? program_.first_bytes[split.first_bytes][static_cast<unsigned char>(text_[position])]
            : program_.first_bytes[split.first_bytes].all();
    if (!possible) {
      pc = split.second;
      return true;
    }
    if (scratch_.num_steps_back > kFreeStepsBack) {
      if (scratch_.failed.contains(Key(pc, position))) return false;
      scratch_.stack.push_back({pc, false, true, position, 0, 0});
    }
    scratch_.stack.push_back({split.second, false, false, position, 0, 0});
    pc = split.first;
    return true;
  }

  bool Look(uint32_t pc, const Instruction& look, size_t position) {
    for (uint32_t i = 0; i < look.num_characters; ++i) {
      if (position == 0) return false;
      position = Before(text_, position);
    }
    return Run(pc + 1, position) != kFail;
  }

  // Goes on at the last choice above `base`; false if there is none.
  bool StepBack(size_t base, uint32_t& pc, size_t& position) {
    while (scratch_.stack.size() > base) {
      ++scratch_.num_steps_back;
      Scratch::Entry& entry = scratch_.stack.back();
      if (entry.is_failure) {
        scratch_.failed.insert(Key(entry.instruction, entry.position));
      } else if (!entry.is_run) {
        pc = entry.instruction;
        position = entry.position;
        scratch_.stack.pop_back();
        return true;
      } else if (const size_t shorter = ShorterRun(entry); shorter != kFail) {
        entry.position = shorter;
        pc = entry.instruction + 1;
        position = entry.position;
        return true;
      } else if (program_.instructions[entry.instruction].most == RegexNode::kUnlimited) {
        Scratch::Range& failed = scratch_.failed_runs[entry.instruction];
        scratch_.has_failed_runs = true;
        if (failed.first <= entry.longest && entry.least <= failed.last && failed.first <= failed.last) {
          failed.first = std::min(failed.first, entry.least);
          failed.last = std::max(failed.last, entry.longest);
        } else {
          failed = {entry.least, entry.longest};
        }
      }
      scratch_.stack.pop_back();
    }
    return false;
  }

  // The next shorter end of a run where what follows is not known to fail; kFail if there is none.
  size_t ShorterRun(const Scratch::Entry& entry) const {
    if (entry.position == entry.least) return kFail;
    const size_t shorter = Before(text_, entry.position);
    const Scratch::Range& failed = scratch_.failed_runs[entry.instruction];
    const bool unlimited = program_.instructions[entry.instruction].most == RegexNode::kUnlimited;
    if (!unlimited || shorter < failed.first || shorter > failed.last) return shorter;
    return failed.first <= entry.least ? kFail : Before(text_, failed.first);
  }

  static uint64_t Key(uint32_t pc, size_t position) { return uint64_t{pc} << 42 | position; }

  bool IsWordAt(size_t position) const {
    if (position >= text_.size()) return false;
    return WordCharacters().Match(text_.data() + position, text_.data() + text_.size()) > 0;
  }

  bool Holds(RegexAssertion assertion, size_t position) const {
    switch (assertion) {
      case RegexAssertion::kTextBegin:
        return position == 0;
      case RegexAssertion::kTextEnd:
        return position == text_.size();
      case RegexAssertion::kLastLineEnd:
        return position == text_.size() || (position + 1 == text_.size() && text_[position] == '\n');
      case RegexAssertion::kLineBegin:
        return position == 0 || (text_[position - 1] == '\n' && position < text_.size());
      case RegexAssertion::kLineEnd:
        return position == text_.size() || text_[position] == '\n';
      case RegexAssertion::kWordEdge:
      case RegexAssertion::kNoWordEdge:
        break;
    }
    const bool before = position > 0 && IsWordAt(Before(text_, position));
    return (before != IsWordAt(position)) == (assertion == RegexAssertion::kWordEdge);
  }

  const RegexProgram& program_;
  std::string_view text_;
  Scratch& scratch_;
};

}  // namespace

Result<Regex> Regex::Compile(std::string_view pattern, std::string_view origin) {
  Result<RegexNode> tree = ParseRegex(pattern);
  Status status = tree.status();
  if (status.ok()) {
    Result<std::shared_ptr<const RegexProgram>> program = CompileRegex(*tree);
    if (program.ok()) return Regex(std::move(*program));
    status = program.status();
  }
  return Status(status.code(), fmt::format("{}: the pattern {} has something that is not handled: {}", origin,
                                           pattern.substr(0, 200), status.message()));
}

std::optional<Regex::Match> Regex::Find(std::string_view text, size_t from, Scratch& scratch) const {
  scratch.stack.clear();
  if (scratch.has_failed_runs || scratch.failed_runs.size() < program_->instructions.size()) {
    scratch.failed_runs.assign(program_->instructions.size(), {});
    scratch.has_failed_runs = false;
  }
  scratch.num_steps_back = 0;
  if (!scratch.failed.empty()) scratch.failed.clear();
  Machine machine(*program_, text, scratch);
  for (size_t begin = from; begin <= text.size(); ++begin) {
    if (!program_->may_be_empty) {
      while (begin < text.size() && !program_->starts[static_cast<unsigned char>(text[begin])]) ++begin;
      if (begin == text.size()) break;
    }
    if (begin < text.size() && (text[begin] & 0xC0) == 0x80) continue;  // inside a character
    const size_t end = machine.Run(0, begin);
    if (end != kFail) return Match{begin, end};
  }
  return std::nullopt;
}

}  // namespace qwen25

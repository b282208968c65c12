// Between the parts of regex.h: the tree that the parser makes, and the program that the matcher runs.
#pragma once

#include <bitset>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "text/code_point_set.h"

namespace qwen25 {

enum class RegexAssertion {
  kTextBegin,
  kTextEnd,
  kLastLineEnd,
  kLineBegin,
  kLineEnd,
  kWordEdge,
  kNoWordEdge
};

// A node of the syntax tree.
struct RegexNode {
  enum class Kind {
    kEmpty,        // matches nothing, at no cost
    kSet,          // one character of `set`
    kSequence,     // `children`, one after the other
    kAlternation,  // the first of `children` that leads to a match
    kRepeat,       // `children[0]`, at least `least` and at most `most` times
    kAtomic,       // `children[0]`, whose other ways to match are forgotten
    kLook,         // whether `children[0]` matches here, ahead or behind
    kAssert
  };
  enum class Mode { kGreedy, kLazy, kPossessive };
  static constexpr uint32_t kUnlimited = UINT32_MAX;

  Kind kind = Kind::kEmpty;
  icu::UnicodeSet set;
  std::vector<RegexNode> children;
  uint32_t least = 0, most = 0;
  Mode mode = Mode::kGreedy;
  bool behind = false, negative = false;  // of kLook
  RegexAssertion assertion = RegexAssertion::kTextBegin;
};

struct RegexInstruction {
  enum class Kind : uint8_t { kSet, kRun, kSplit, kJump, kLook, kAtomic, kAssert, kEnd };

  Kind kind;
  bool negative = false;           // of kLook
  bool keeps_all = false;          // of kRun: does not give back what it took
  RegexAssertion assertion = {};   // of kAssert
  uint32_t set = 0;                // of kSet and kRun: index of a set
  uint32_t least = 0, most = 0;    // of kRun, in characters
  uint32_t first = 0, second = 0;  // of kSplit: what is tried first, and then; of kJump, kLook and kAtomic:
                                   // where to go on (`second`); the body of the latter follows, up to kEnd
  uint32_t num_characters = 0;     // of kLook behind: the width of the body; 0: ahead
  uint32_t first_bytes = 0;        // of kSplit: index of the bytes with which `first` can begin
};

struct RegexProgram {
  std::vector<RegexInstruction> instructions;
  std::vector<CodePointSet> sets;
  // What a part can begin with; all bits are set if it can match nothing.
  std::vector<std::bitset<256>> first_bytes;
  std::bitset<256> starts;  // bytes with which a match can begin
  bool may_be_empty = false;
};

// regex_parse.cc
Result<RegexNode> ParseRegex(std::string_view pattern);
// regex_compile.cc
Result<std::shared_ptr<const RegexProgram>> CompileRegex(const RegexNode& root);

}  // namespace qwen25

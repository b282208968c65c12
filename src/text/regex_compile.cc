// The compiler of regular expressions (regex.h): tree to program.
#include <algorithm>
#include <optional>

#include "text/regex_program.h"

namespace qwen25 {
namespace {

using Instruction = RegexInstruction;
using Kind = RegexNode::Kind;
using Mode = RegexNode::Mode;

constexpr size_t kMaxInstructions = 20000;

// What a node can begin with, and whether it can match nothing.
struct Start {
  std::bitset<256> bytes;
  bool may_be_empty = false;
};

Start StartOf(const RegexNode& node) {
  switch (node.kind) {
    case Kind::kEmpty:
    case Kind::kLook:
    case Kind::kAssert:
      return {{}, true};
    case Kind::kSet:
      return {CodePointSet(node.set).first_bytes(), false};
    case Kind::kSequence: {
      Start start{{}, true};
      for (const RegexNode& child : node.children) {
        const Start next = StartOf(child);
        start.bytes |= next.bytes;
        start.may_be_empty = next.may_be_empty;
        if (!start.may_be_empty) break;
      }
      return start;
    }
    case Kind::kAlternation: {
      Start start;
      for (const RegexNode& child : node.children) {
        const Start next = StartOf(child);
        start.bytes |= next.bytes;
        start.may_be_empty |= next.may_be_empty;
      }
      return start;
    }
    case Kind::kRepeat:
    case Kind::kAtomic:
      break;
  }
  Start start = StartOf(node.children[0]);
  start.may_be_empty |= node.kind == Kind::kRepeat && node.least == 0;
  return start;
}

// The number of characters that `node` always matches; none if it differs.
std::optional<uint32_t> WidthOf(const RegexNode& node) {
  std::optional<uint32_t> width = 0;
  switch (node.kind) {
    case Kind::kEmpty:
    case Kind::kLook:
    case Kind::kAssert:
      return 0;
    case Kind::kSet:
      return 1;
    case Kind::kSequence:
      for (const RegexNode& child : node.children) {
        const auto next = WidthOf(child);
        width = width && next ? std::optional(*width + *next) : std::nullopt;
      }
      return width;
    case Kind::kAlternation:
      width = WidthOf(node.children[0]);
      for (const RegexNode& child : node.children) {
        if (WidthOf(child) != width) return std::nullopt;
      }
      return width;
    case Kind::kAtomic:
      return WidthOf(node.children[0]);
    case Kind::kRepeat:
      width = WidthOf(node.children[0]);
      if (!width || node.least != node.most || node.least > 1000) return std::nullopt;
      return *width * node.least;
  }
  return width;
}

class Compiler {
 public:
  Result<std::shared_ptr<const RegexProgram>> Compile(const RegexNode& root) {
    QWEN25_RETURN_IF_ERROR(Emit(root));
    Add({.kind = Instruction::Kind::kEnd});
    if (program_.instructions.size() > kMaxInstructions) return TooLong();
    const Start start = StartOf(root);
    program_.starts = start.bytes;
    program_.may_be_empty = start.may_be_empty;
    return std::make_shared<const RegexProgram>(std::move(program_));
  }

 private:
  static Status TooLong() {
    return Unsupported("its program has more than {} instructions", kMaxInstructions);
  }
  uint32_t Here() const { return static_cast<uint32_t>(program_.instructions.size()); }
  uint32_t Add(Instruction instruction) {
    program_.instructions.push_back(instruction);
    return Here() - 1;
  }
  Instruction& At(uint32_t index) { return program_.instructions[index]; }

  uint32_t SetIndex(const icu::UnicodeSet& set) {
    for (size_t i = 0; i < sets_.size(); ++i) {
      if (sets_[i] == set) return static_cast<uint32_t>(i);
    }
    sets_.push_back(set);
    program_.sets.emplace_back(set);
    return static_cast<uint32_t>(sets_.size() - 1);
  }
  uint32_t FirstBytes(const RegexNode& node) {
    Start start = StartOf(node);
    if (start.may_be_empty) start.bytes.set();
    program_.first_bytes.push_back(start.bytes);
    return static_cast<uint32_t>(program_.first_bytes.size() - 1);
  }

  Status Emit(const RegexNode& node) {
    if (program_.instructions.size() > kMaxInstructions) return TooLong();
    switch (node.kind) {
      case Kind::kEmpty:
        return {};
      case Kind::kSet:
        Add({.kind = Instruction::Kind::kSet, .set = SetIndex(node.set)});
        return {};
      case Kind::kAssert:
        Add({.kind = Instruction::Kind::kAssert, .assertion = node.assertion});
        return {};
      case Kind::kSequence:
        for (const RegexNode& child : node.children) QWEN25_RETURN_IF_ERROR(Emit(child));
        return {};
      case Kind::kAlternation:
        return EmitAlternatives(node);
      case Kind::kRepeat:
        return EmitRepeat(node);
      case Kind::kAtomic:
      case Kind::kLook:
        break;
    }
    return EmitBody(node);
  }

  Status EmitBody(const RegexNode& node) {
    Instruction instruction = {.kind = Instruction::Kind::kAtomic};
    if (node.kind == Kind::kLook) {
      instruction = {.kind = Instruction::Kind::kLook, .negative = node.negative};
      if (node.behind) {
        const auto width = WidthOf(node.children[0]);
        if (!width || *width == 0) return Unsupported("a lookbehind whose width differs, or is none");
        instruction.num_characters = *width;
      }
    }
    const uint32_t at = Add(instruction);
    QWEN25_RETURN_IF_ERROR(Emit(node.children[0]));
    Add({.kind = Instruction::Kind::kEnd});
    At(at).second = Here();
    return {};
  }

  Status EmitAlternatives(const RegexNode& node) {
    std::vector<uint32_t> jumps;
    for (size_t i = 0; i + 1 < node.children.size(); ++i) {
      const uint32_t first_bytes = FirstBytes(node.children[i]);
      const uint32_t split = Add({.kind = Instruction::Kind::kSplit, .first_bytes = first_bytes});
      At(split).first = Here();
      QWEN25_RETURN_IF_ERROR(Emit(node.children[i]));
      jumps.push_back(Add({.kind = Instruction::Kind::kJump}));
      At(split).second = Here();
    }
    QWEN25_RETURN_IF_ERROR(Emit(node.children.back()));
    for (const uint32_t jump : jumps) At(jump).second = Here();
    return {};
  }

  Status EmitRepeat(const RegexNode& node) {
    const RegexNode& body = node.children[0];
    const bool unlimited = node.most == RegexNode::kUnlimited;
    if (body.kind == Kind::kSet && node.mode != Mode::kLazy) {
      Add({.kind = Instruction::Kind::kRun,
           .keeps_all = node.mode == Mode::kPossessive,
           .set = SetIndex(body.set),
           .least = node.least,
           .most = node.most});
      return {};
    }
    if (node.mode == Mode::kPossessive) {
      RegexNode greedy = node;
      greedy.mode = Mode::kGreedy;
      RegexNode atomic;
      atomic.kind = Kind::kAtomic;
      atomic.children.push_back(std::move(greedy));
      return Emit(atomic);
    }
    if (StartOf(body).may_be_empty && node.most > 1) {
      return Unsupported("a repeat of a group that can match nothing");
    }
    for (uint32_t i = 0; i < node.least; ++i) QWEN25_RETURN_IF_ERROR(Emit(body));
    if (unlimited) {
      const uint32_t split = EmitOptional(node);
      QWEN25_RETURN_IF_ERROR(Emit(body));
      Add({.kind = Instruction::Kind::kJump, .second = split});
      PatchOptional(split, node);
      return {};
    }
    std::vector<uint32_t> splits;
    for (uint32_t i = node.least; i < node.most; ++i) {
      splits.push_back(EmitOptional(node));
      QWEN25_RETURN_IF_ERROR(Emit(body));
    }
    for (const uint32_t split : splits) PatchOptional(split, node);
    return {};
  }

  // A choice between the body of `repeat`, which follows, and what is after it (PatchOptional).
  uint32_t EmitOptional(const RegexNode& repeat) {
    Instruction split = {.kind = Instruction::Kind::kSplit};
    if (repeat.mode == Mode::kLazy) {
      program_.first_bytes.push_back(std::bitset<256>().set());
      split.first_bytes = static_cast<uint32_t>(program_.first_bytes.size() - 1);
    } else {
      split.first_bytes = FirstBytes(repeat.children[0]);
    }
    return Add(split);
  }
  void PatchOptional(uint32_t split, const RegexNode& repeat) {
    At(split).first = split + 1;
    At(split).second = Here();
    if (repeat.mode == Mode::kLazy) std::swap(At(split).first, At(split).second);
  }

  RegexProgram program_;
  std::vector<icu::UnicodeSet> sets_;
};

}  // namespace

Result<std::shared_ptr<const RegexProgram>> CompileRegex(const RegexNode& root) {
  return Compiler().Compile(root);
}

}  // namespace qwen25

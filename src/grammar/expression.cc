#include "grammar/expression.h"

#include <algorithm>
#include <utility>

namespace qwen25::grammar {
namespace {

using Kind = ExpressionNode::Kind;

uint32_t SaturatingSize(uint64_t size) {
  return static_cast<uint32_t>(std::min<uint64_t>(size, UINT32_MAX));
}

Expression Leaf(Kind kind) {
  auto node = std::make_shared<ExpressionNode>();
  node->kind = kind;
  return node;
}

Expression Parent(Kind kind, std::vector<Expression> children) {
  auto node = std::make_shared<ExpressionNode>();
  node->kind = kind;
  uint64_t size = 1;
  for (const Expression& child : children) size += child->size;
  node->size = SaturatingSize(size);
  node->children = std::move(children);
  return node;
}

// Thompson's construction.
class NfaBuilder {
 public:
  NfaBuilder(Budget& budget, MakeRule make_rule) : budget_(budget), make_rule_(std::move(make_rule)) {}

  // Adds `expression` after `from`; returns the state behind it.
  Result<uint32_t> Add(const Expression& expression, uint32_t from) {
    switch (expression->kind) {
      case Kind::kNever:
        return NewState();
      case Kind::kBytes: {
        QWEN25_TRY(const uint32_t to, NewState());
        nfa_.states[from].bytes.push_back({expression->first, expression->last, to});
        return to;
      }
      case Kind::kSequence: {
        for (const Expression& child : expression->children) {
          QWEN25_TRY(from, Add(child, from));
        }
        return from;
      }
      case Kind::kChoice:
        return AddChoice(expression->children, from);
      case Kind::kRepeat:
        return AddRepeat(*expression, from);
      case Kind::kCall: {
        QWEN25_TRY(const uint32_t to, NewState());
        nfa_.states[from].calls.push_back({expression->rule, expression->least, expression->most, to});
        return to;
      }
      case Kind::kAutomaton:
        return AddAutomaton(*expression->automaton, from);
      case Kind::kAtBegin: {
        QWEN25_TRY(const uint32_t to, NewState());
        nfa_.states[from].at_begin.push_back(to);
        return to;
      }
      case Kind::kAtEnd: {
        QWEN25_TRY(const uint32_t to, NewState());
        nfa_.states[from].at_end.push_back(to);
        return to;
      }
    }
    QWEN25_CHECK(false);
  }

  Result<uint32_t> NewState() {
    QWEN25_RETURN_IF_ERROR(budget_.SpendSteps(1));
    if (nfa_.states.size() >= budget_.limits().states) {
      return ResourceExhausted("an expression needs more than {} states; lower its repeats",
                               budget_.limits().states);
    }
    nfa_.states.emplace_back();
    return static_cast<uint32_t>(nfa_.states.size() - 1);
  }

  Nfa& nfa() { return nfa_; }

 private:
  Result<uint32_t> AddChoice(const std::vector<Expression>& branches, uint32_t from) {
    QWEN25_TRY(const uint32_t join, NewState());
    for (const Expression& branch : branches) {
      QWEN25_TRY(const uint32_t begin, NewState());
      nfa_.states[from].empty.push_back(begin);
      QWEN25_TRY(const uint32_t end, Add(branch, begin));
      nfa_.states[end].empty.push_back(join);
    }
    return join;
  }

  Result<uint32_t> AddRepeat(const ExpressionNode& repeat, uint32_t from) {
    const Expression& part = repeat.children[0];
    const uint64_t copies = repeat.most == kUnlimited ? uint64_t{repeat.least} + 1 : repeat.most;
    if (make_rule_ && copies > 1 && copies * part->size > kMaxWrittenOut) {
      QWEN25_TRY(const uint32_t to, NewState());
      const bool is_call = part->kind == Kind::kCall && part->least == 1 && part->most == 1;
      const uint32_t rule = is_call ? part->rule : make_rule_(part);
      nfa_.states[from].calls.push_back({rule, repeat.least, repeat.most, to});
      return to;
    }
    for (uint32_t i = 0; i < repeat.least; ++i) {
      QWEN25_TRY(from, Add(part, from));
    }
    QWEN25_TRY(const uint32_t join, NewState());
    if (repeat.most == kUnlimited) {
      QWEN25_TRY(const uint32_t begin, NewState());
      nfa_.states[from].empty.push_back(begin);
      nfa_.states[begin].empty.push_back(join);
      QWEN25_TRY(const uint32_t end, Add(part, begin));
      nfa_.states[end].empty.push_back(begin);
      return join;
    }
    for (uint32_t i = repeat.least; i < repeat.most; ++i) {
      nfa_.states[from].empty.push_back(join);
      QWEN25_TRY(from, Add(part, from));
    }
    nfa_.states[from].empty.push_back(join);
    return join;
  }

  Result<uint32_t> AddAutomaton(const Automaton& automaton, uint32_t from) {
    QWEN25_TRY(const uint32_t join, NewState());
    const uint32_t base = join + 1;
    for (const Automaton::State& state : automaton.states) {
      QWEN25_TRY(const uint32_t copy, NewState());
      if (state.accepts) nfa_.states[copy].empty.push_back(join);
      for (const ByteEdge& edge : state.bytes) {
        nfa_.states[copy].bytes.push_back({edge.first, edge.last, base + edge.target});
      }
    }
    if (!automaton.states.empty()) nfa_.states[from].empty.push_back(base);
    return join;
  }

  Budget& budget_;
  MakeRule make_rule_;
  Nfa nfa_;
};

// UTF-8 sequences of the code points first..last, all of the same length in bytes.
void AddSequences(char32_t first, char32_t last, std::vector<Expression>& branches) {
  const int num_bytes = last < 0x80 ? 1 : last < 0x800 ? 2 : last < 0x10000 ? 3 : 4;
  // A range of bytes at each place is right only if the places behind it take all values.
  for (int i = 1; i < num_bytes; ++i) {
    const char32_t mask = (char32_t{1} << (6 * i)) - 1;
    if ((first & ~mask) == (last & ~mask)) continue;
    if ((first & mask) != 0) {
      AddSequences(first, first | mask, branches);
      AddSequences((first | mask) + 1, last, branches);
      return;
    }
    if ((last & mask) != mask) {
      AddSequences(first, (last & ~mask) - 1, branches);
      AddSequences(last & ~mask, last, branches);
      return;
    }
  }
  constexpr uint8_t kLeads[] = {0, 0, 0xC0, 0xE0, 0xF0};
  std::vector<Expression> bytes;
  for (int i = num_bytes - 1; i >= 0; --i) {
    const bool leads = i == num_bytes - 1;
    const uint8_t mark = leads ? kLeads[num_bytes] : 0x80;
    const char32_t mask = leads ? 0x7F : 0x3F;
    bytes.push_back(Bytes(static_cast<uint8_t>(mark | (first >> (6 * i) & mask)),
                          static_cast<uint8_t>(mark | (last >> (6 * i) & mask))));
  }
  branches.push_back(Sequence(std::move(bytes)));
}

bool Touches(const Expression& expression, Kind assertion, bool at_front) {
  if (expression->kind == assertion) return true;
  const std::vector<Expression>& children = expression->children;
  if (expression->kind == Kind::kSequence) {
    return !children.empty() && Touches(at_front ? children.front() : children.back(), assertion, at_front);
  }
  return expression->kind == Kind::kChoice && !children.empty() &&
         std::ranges::all_of(children,
                             [&](const auto& child) { return Touches(child, assertion, at_front); });
}

}  // namespace

Expression Never() {
  return Leaf(Kind::kNever);
}

Expression Nothing() {
  return Leaf(Kind::kSequence);
}

Expression BeginOfText() {
  return Leaf(Kind::kAtBegin);
}

Expression EndOfText() {
  return Leaf(Kind::kAtEnd);
}

Expression Bytes(uint8_t first, uint8_t last) {
  auto node = std::make_shared<ExpressionNode>();
  node->kind = Kind::kBytes;
  node->first = first;
  node->last = last;
  return node;
}

Expression Text(std::string_view bytes) {
  std::vector<Expression> parts;
  for (const char c : bytes) parts.push_back(Bytes(static_cast<uint8_t>(c), static_cast<uint8_t>(c)));
  return Sequence(std::move(parts));
}

Expression Sequence(std::vector<Expression> parts) {
  if (parts.size() == 1) return std::move(parts[0]);
  return Parent(Kind::kSequence, std::move(parts));
}

Expression Choice(std::vector<Expression> branches) {
  if (branches.empty()) return Never();
  if (branches.size() == 1) return std::move(branches[0]);
  return Parent(Kind::kChoice, std::move(branches));
}

Expression Repeat(Expression part, uint32_t least, uint32_t most) {
  if (most == 0) return Nothing();
  auto node = std::make_shared<ExpressionNode>();
  node->kind = Kind::kRepeat;
  node->least = least;
  node->most = most;
  const uint64_t copies = most == kUnlimited ? uint64_t{least} + 1 : most;
  node->size = SaturatingSize(1 + copies * part->size);
  node->children.push_back(std::move(part));
  return node;
}

Expression Optional(Expression part) {
  return Repeat(std::move(part), 0, 1);
}

Expression CallOf(uint32_t rule, uint32_t least, uint32_t most) {
  if (most == 0) return Nothing();
  auto node = std::make_shared<ExpressionNode>();
  node->kind = Kind::kCall;
  node->least = least;
  node->most = most;
  node->rule = rule;
  return node;
}

Expression Embedded(Automaton automaton) {
  auto node = std::make_shared<ExpressionNode>();
  node->kind = Kind::kAutomaton;
  node->size = SaturatingSize(automaton.states.size() + 1);
  node->automaton = std::make_shared<const Automaton>(std::move(automaton));
  return node;
}

Expression Characters(const icu::UnicodeSet& set) {
  std::vector<Expression> branches;
  const auto add = [&](char32_t first, char32_t last) {
    for (const char32_t limit : {char32_t{0x7F}, char32_t{0x7FF}, char32_t{0xFFFF}, char32_t{0x10FFFF}}) {
      if (first > last) return;
      if (first <= limit) AddSequences(first, std::min(last, limit), branches);
      first = std::max<char32_t>(first, limit + 1);
    }
  };
  for (int i = 0; i < set.getRangeCount(); ++i) {
    const auto first = static_cast<char32_t>(set.getRangeStart(i));
    const auto last = static_cast<char32_t>(set.getRangeEnd(i));
    if (first < 0xD800) add(first, std::min<char32_t>(last, 0xD7FF));
    if (last > 0xDFFF) add(std::max<char32_t>(first, 0xE000), last);
  }
  return Choice(std::move(branches));
}

Expression AnyCharacter() {
  return Characters(icu::UnicodeSet(0, 0x10FFFF));
}

bool StartsAtBegin(const Expression& expression) {
  return Touches(expression, Kind::kAtBegin, true);
}

bool StopsAtEnd(const Expression& expression) {
  return Touches(expression, Kind::kAtEnd, false);
}

bool HasAssertions(const Expression& expression) {
  return expression->kind == Kind::kAtBegin || expression->kind == Kind::kAtEnd ||
         std::ranges::any_of(expression->children, HasAssertions);
}

Result<Automaton> Compile(const Expression& expression, Budget& budget, const MakeRule& make_rule) {
  NfaBuilder builder(budget, make_rule);
  QWEN25_TRY(const uint32_t start, builder.NewState());
  QWEN25_TRY(const uint32_t accept, builder.Add(expression, start));
  builder.nfa().start = start;
  builder.nfa().accept = accept;
  return Determinize(builder.nfa(), budget);
}

Result<Automaton> CompileSearch(const Expression& expression, Budget& budget) {
  NfaBuilder builder(budget, nullptr);
  const Expression any = Repeat(AnyCharacter(), 0, kUnlimited);
  QWEN25_TRY(const uint32_t start, builder.NewState());
  uint32_t at = start;
  if (!StartsAtBegin(expression)) {
    QWEN25_TRY(at, builder.Add(any, at));
  }
  QWEN25_TRY(at, builder.Add(expression, at));
  if (!StopsAtEnd(expression)) {
    builder.nfa().absorbing = at;
    QWEN25_TRY(at, builder.Add(any, at));
  }
  builder.nfa().start = start;
  builder.nfa().accept = at;
  return Determinize(builder.nfa(), budget);
}

}  // namespace qwen25::grammar

// What compiling a grammar may cost, so that hostile schemas and patterns end in an error, never in a hang.
#pragma once

#include <cstddef>

#include "base/status.h"

namespace qwen25 {

struct GrammarLimits {
  size_t states = 400000;   // of all automata together; one has about 100 bytes
  size_t steps = 30000000;  // of constructions; a million takes about 20 ms
  size_t depth = 200;       // of groups inside each other, of references that lead to references
};

namespace grammar {

// Counts down while a grammar is compiled. kResourceExhausted names the limit that was reached.
class Budget {
 public:
  explicit Budget(const GrammarLimits& limits) : limits_(limits) {}

  const GrammarLimits& limits() const { return limits_; }

  Status SpendSteps(size_t count) {
    steps_ += count;
    if (steps_ <= limits_.steps) return {};
    return ResourceExhausted(
        "compiling takes more than {} steps; simplify the patterns or lower their repeats", limits_.steps);
  }
  Status SpendStates(size_t count) {
    states_ += count;
    if (states_ <= limits_.states) return {};
    return ResourceExhausted(
        "the automata have more than {} states; simplify the patterns or lower their repeats",
        limits_.states);
  }

 private:
  GrammarLimits limits_;
  size_t steps_ = 0, states_ = 0;
};

}  // namespace grammar
}  // namespace qwen25

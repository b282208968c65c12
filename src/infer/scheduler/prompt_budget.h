// How many tokens of prompts one step of the scheduler reads.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace qwen25 {

// Learns how long steps take, so that one with tokens of prompts takes about the time that it may.
class PromptBudget {
 public:
  static constexpr size_t kLeast = 16, kMost = 512;  // tokens

  // `step_seconds`: the time that a step may take, above 0.
  explicit PromptBudget(double step_seconds) : step_seconds_(step_seconds) {}

  // Tokens of prompts for the next step, kLeast to kMost. If a step without them takes longer than it may,
  // as many as double its time.
  size_t NumTokens() const;
  // A step of `num_decoded` tokens that were drawn before and `num_prompt` tokens of prompts took so long.
  void Observe(size_t num_decoded, size_t num_prompt, double seconds);

 private:
  const double step_seconds_;
  double decode_seconds_ = 0;     // of a step without prompts; 0: not known yet
  double seconds_per_token_ = 0;  // of prompts; 0: not known yet
};

// Divides a step's `budget` among prompts with `left` tokens to read, in the order of their arrival: the
// first one gets a quarter, so that it makes progress whatever else arrives, and the rest goes to those that
// need the least. Returns the tokens of each.
std::vector<size_t> DivideBudget(std::span<const size_t> left, size_t budget);

}  // namespace qwen25

// Finds lines of a conversation that ask the memory to remember or forget something.
#pragma once

#include <string>
#include <string_view>

namespace qwen25 {

struct MemoryRequest {
  enum class Kind { kNone, kRemember, kForget };
  Kind kind = Kind::kNone;
  std::string text;  // what to remember, or what the note to forget is about

  friend bool operator==(const MemoryRequest&, const MemoryRequest&) = default;
};

// A line is a request if it begins with a phrase of a fixed table ("remember that", "don't forget that",
// "forget that", "merk dir, dass", "recuerda que", "记住", ...; memory_request.cc has all of them), in any
// letter case, with or without one polite word before it ("please", "bitte", "请"). A phrase that ends in a
// word needs more words after it: "forget that." and "remember that?" are ordinary lines. So is a line whose
// first sentence is a question ("Remember that time in Paris?"). Questions at the end of the line are left
// out: "Remember that Mimi is a cat. What does she eat?" remembers one sentence.
MemoryRequest ParseMemoryRequest(std::string_view line);

}  // namespace qwen25

// Follows one JSON object character by character: what a stream needs that cannot wait for its end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace qwen25 {

// Holds to the grammar of RFC 8259. Bytes from 0x80 on are taken in strings without a check of their UTF-8,
// and so are escapes of lone surrogates.
class JsonScanner {
 public:
  enum class Part : uint8_t { kNone, kKey, kValue };
  // What a character did. A number ends with the character after it, which is not reported.
  struct Step {
    bool ok = true;             // false: no JSON goes on like this; the character was not taken
    Part begins = Part::kNone;  // it is the first character of this
    Part ends = Part::kNone;    // it is the last character of this
    size_t level = 0;           // how many objects and arrays stand around that part
    bool done = false;          // the object is complete
  };

  // Takes the next character. Only before an error and before the end.
  Step Next(char c);

 private:
  // What may come next.
  enum class State : uint8_t {
    kObject,      // whitespace, then the object itself
    kValue,       // a value
    kFirstValue,  // a value or "]"
    kFirstKey,    // a key or "}"
    kKey,
    kColon,
    kMore,  // "," or the end of what is open
    kString,
    kEscape,
    kHex,
    kLiteral,
    kMinus,
    kZero,
    kDigits,
    kPoint,
    kFraction,
    kExponent,
    kExponentSign,
    kExponentDigits,
    kDone,
  };

  Step BeginValue(char c);
  Step BeginKey(char c);
  Step InString(char c);
  Step InNumber(char c);
  Step AfterValue(char c);
  Step EndValue();
  static Step Error() { return {.ok = false}; }
  // As for requests, in which clients send the same text back.
  static constexpr size_t kMaxDepth = 64;

  State state_ = State::kObject;
  std::string open_;          // '{' and '['
  bool is_key_ = false;       // of a string
  int num_hex_ = 0;           // digits of an escape that are still to come
  std::string_view literal_;  // what is left of true, false or null
};

}  // namespace qwen25

#include "serve/api/identifier.h"

#include <sys/random.h>

#include <array>
#include <cstdint>

#include "base/check.h"

namespace qwen25 {

std::string NewIdentifier(std::string_view prefix) {
  // 32 characters, so that five bits of a byte choose one evenly: 24 of them are 120 random bits.
  constexpr std::string_view kLetters = "abcdefghijkmnpqrstuvwxyz23456789";
  static_assert(kLetters.size() == 32);
  std::array<uint8_t, 24> bytes;
  // Up to 256 bytes come at once and cannot fail on Linux (getrandom(2)).
  QWEN25_CHECK(getrandom(bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));
  std::string identifier(prefix);
  for (const uint8_t byte : bytes) identifier += kLetters[byte % kLetters.size()];
  return identifier;
}

}  // namespace qwen25

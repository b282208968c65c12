#include "knowledge/note_rows.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <cstring>

#include "base/dtype.h"
#include "base/hash.h"
#include "base/status.h"
#include "knowledge/search_terms.h"

namespace qwen25 {

std::string CreateWordsTable(int64_t name_space) {
  return fmt::format(
      "CREATE VIRTUAL TABLE words_{0} USING fts5({1}); "
      "CREATE VIRTUAL TABLE vocabulary_{0} USING fts5vocab(words_{0}, row)",
      name_space, kWordsOptions);
}

std::string SaidText(std::string_view speaker, std::string_view text) {
  return speaker.empty() ? std::string(text) : fmt::format("{}: {}", speaker, text);
}

std::string JoinedTerms(std::string_view speaker, std::string_view text) {
  return fmt::format("{}", fmt::join(IndexTermsOf(SaidText(speaker, text)), " "));
}

std::vector<uint16_t> EncodeVector(std::span<const float> vector) {
  std::vector<uint16_t> encoded(vector.size());
  std::ranges::transform(vector, encoded.begin(), FloatToFloat16);
  return encoded;
}

int64_t VectorSum(int64_t chunk, std::span<const std::byte> encoded) {
  return static_cast<int64_t>(Hash64(encoded, static_cast<uint64_t>(chunk)));
}

std::array<std::byte, 16> ContentHash(std::string_view text) {
  const Hash128 hash = HashBytes128(std::as_bytes(std::span(text)));
  std::array<std::byte, 16> bytes;
  std::memcpy(bytes.data(), &hash.low, 8);
  std::memcpy(bytes.data() + 8, &hash.high, 8);
  return bytes;
}

int64_t NowMilliseconds() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace qwen25

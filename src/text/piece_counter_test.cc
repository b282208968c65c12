#include "text/piece_counter.h"

#include <rapidcheck.h>

#include <map>

#include "base/rng.h"
#include "base/test_util.h"

namespace qwen25 {
namespace {

using Counts = std::map<std::string, uint64_t>;

Counts CountsOf(const PieceCounter& counter) {
  Counts counts;
  counter.ForEach([&](std::string_view piece, uint64_t count) {
    EXPECT_TRUE(counts.emplace(piece, count).second) << "visited twice: " << piece;
  });
  EXPECT_EQ(counts.size(), counter.size());
  return counts;
}

TEST(PieceCounter, CountsLikeAMap) {
  EXPECT_TRUE(rc::check([](uint64_t seed) {
    Rng rng(seed);
    PieceCounter first, second;
    Counts want;
    for (size_t i = 0; i < 5000; ++i) {  // enough to grow both tables
      std::string piece(rng.Below(40), '\0');
      for (char& c : piece) c = static_cast<char>(rng.Below(piece.size() < 4 ? 256 : 2));
      const uint64_t count = 1 + rng.Below(3);
      (rng.Below(2) == 0 ? first : second).Add(piece, count);
      if (!piece.empty()) want[piece] += count;
    }
    first.Add(second);
    RC_ASSERT(CountsOf(first) == want);
  }));
}

TEST(PieceCounter, EveryLengthAndByteIsItsOwnPiece) {
  // Zero bytes and lengths must not run into each other: "a", "a\0", "a\0\0", ...
  PieceCounter counter;
  Counts want;
  for (size_t length = 1; length <= 40; ++length) {
    for (size_t at = 0; at < length; ++at) {
      std::string piece(length, '\0');
      counter.Add(piece);
      ++want[piece];
      piece[at] = '\xff';
      counter.Add(piece);
      ++want[piece];
    }
  }
  EXPECT_EQ(CountsOf(counter), want);
}

}  // namespace
}  // namespace qwen25

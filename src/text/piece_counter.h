// Counts how often each piece of text occurs. On a large corpus, that takes nearly all the time of training a
// BPE; so to count a piece of up to 15 bytes touches one table slot and no other memory.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace qwen25 {

// A multiset of byte strings. Not thread-safe: one per thread, merged afterwards.
class PieceCounter {
 public:
  PieceCounter() : short_(kMinSlots), long_(kMinSlots) {}

  // Adds `count` >= 1 occurrences of `piece`; an empty piece is ignored.
  void Add(std::string_view piece, uint64_t count = 1) {
    if (piece.size() - 1 < kShortBytes) {
      AddShort(MakeKey(piece), count);
    } else if (!piece.empty()) {
      AddLong(piece, count);
    }
  }

  // Adds everything that `other` holds.
  void Add(const PieceCounter& other);

  // How many distinct pieces there are.
  size_t size() const { return num_short_ + num_long_; }

  // Calls visit(std::string_view piece, uint64_t count) once per distinct piece, in no particular order.
  template <typename Visit>
  void ForEach(Visit&& visit) const {
    for (const ShortSlot& slot : short_) {
      if (slot.count == 0) continue;
      char bytes[16];
      std::memcpy(bytes, &slot.key, sizeof bytes);
      visit(std::string_view(bytes, slot.key.high >> 56), slot.count);
    }
    for (const LongSlot& slot : long_) {
      if (slot.count != 0) visit(BytesOf(slot), slot.count);
    }
  }

 private:
  static_assert(std::endian::native == std::endian::little, "a key's first byte in memory is its lowest");
  static constexpr size_t kShortBytes = 15;
  static constexpr size_t kMinSlots = 1024;  // power of two, as all table sizes are

  // The bytes of a short piece, zeros after them, and its length in the last byte.
  struct ShortKey {
    uint64_t low;
    uint64_t high;
    bool operator==(const ShortKey&) const = default;
  };
  struct ShortSlot {
    ShortKey key;
    uint64_t count = 0;  // 0: empty
  };
  struct LongSlot {
    uint64_t hash;
    uint64_t offset;  // in arena_
    uint64_t length;
    uint64_t count = 0;
  };

  // Builds the key from loads that overlap, so that no byte outside the piece is read.
  static ShortKey MakeKey(std::string_view piece) {
    const size_t length = piece.size();
    const char* p = piece.data();
    ShortKey key{0, static_cast<uint64_t>(length) << 56};
    if (length >= 8) {
      std::memcpy(&key.low, p, 8);
      uint64_t tail;
      std::memcpy(&tail, p + length - 8, 8);
      if (length > 8) key.high |= tail >> (8 * (16 - length));
    } else if (length >= 4) {
      uint32_t head, tail;
      std::memcpy(&head, p, 4);
      std::memcpy(&tail, p + length - 4, 4);
      key.low = head | static_cast<uint64_t>(tail) << (8 * (length - 4));
    } else {
      const auto byte = [&](size_t at) {
        return static_cast<uint64_t>(static_cast<unsigned char>(p[at])) << (8 * at);
      };
      key.low = byte(0) | byte(length / 2) | byte(length - 1);
    }
    return key;
  }
  static uint64_t HashOf(const ShortKey& key) {
    const auto product =
        static_cast<unsigned __int128>(key.low ^ 0x9e3779b97f4a7c15u) * (key.high ^ 0xd1342543de82ef95u);
    return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
  }

  void AddShort(const ShortKey& key, uint64_t count) {
    const size_t mask = short_.size() - 1;
    for (size_t i = HashOf(key) & mask;; i = (i + 1) & mask) {
      ShortSlot& slot = short_[i];
      if (slot.count == 0) {
        slot = {key, count};
        if (2 * ++num_short_ > short_.size()) GrowShort();
        return;
      }
      if (slot.key == key) {
        slot.count += count;
        return;
      }
    }
  }
  void AddLong(std::string_view piece, uint64_t count);
  void GrowShort();
  void GrowLong();
  std::string_view BytesOf(const LongSlot& slot) const {
    return std::string_view(arena_).substr(slot.offset, slot.length);
  }

  std::vector<ShortSlot> short_;
  std::vector<LongSlot> long_;
  size_t num_short_ = 0;
  size_t num_long_ = 0;
  std::string arena_;  // bytes of the long pieces
};

}  // namespace qwen25

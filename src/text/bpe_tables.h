// The two hash tables of encoding: piece -> token, and pair of tokens -> merge. Open addressing with linear
// probing; built once, read without locks. Keys are stored in the slots, so that a hit costs one cache line.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "base/hash.h"

namespace qwen25 {

// Up to 16 bytes, zero-padded, as two little-endian words.
struct ShortKey {
  uint64_t low = 0;
  uint64_t high = 0;

  // `readable_end` is the end of the buffer that `piece` lies in: reading up to 16 bytes there is allowed.
  static ShortKey Load(std::string_view piece, const char* readable_end) {
    ShortKey key;
    if (readable_end - piece.data() >= 16) {
      std::memcpy(&key, piece.data(), 16);
      if (piece.size() < 8) {
        key.low &= (uint64_t{1} << (piece.size() * 8)) - 1;
        key.high = 0;
      } else if (piece.size() < 16) {
        key.high &= (uint64_t{1} << ((piece.size() - 8) * 8)) - 1;
      }
    } else {
      std::memcpy(&key, piece.data(), piece.size());
    }
    return key;
  }
  bool operator==(const ShortKey&) const = default;
  uint64_t Hash(size_t size) const {
    constexpr uint64_t kOdd1 = 0x9e3779b97f4a7c15u, kOdd2 = 0xd1342543de82ef95u;  // 64-bit mixing constants
    const uint64_t x = (low ^ size) * kOdd1 ^ high * kOdd2;
    return (x ^ x >> 32) * kOdd1;
  }
};
static_assert(std::endian::native == std::endian::little, "ShortKey::Load masks little-endian words");

// Byte strings to numbers below 2^31. Strings of up to 8 and 16 bytes, nearly all of a vocabulary, are
// compared as words.
class PieceTable {
 public:
  static constexpr int32_t kNone = -1;

  // Maps keys[i], not empty, to values[i] >= 0. Returns keys.size() if all keys are distinct; else stops at
  // the first repeated key and returns its index.
  size_t Build(const std::vector<std::string_view>& keys, const std::vector<int32_t>& values) {
    size_t counts[3] = {};
    for (const std::string_view key : keys) ++counts[SizeClass(key.size())];
    slots8_.assign(SlotCount(counts[0]), {});
    slots16_.assign(SlotCount(counts[1]), {});
    slots_long_.assign(SlotCount(counts[2]), {});
    long_bytes_.clear();
    constexpr size_t kAhead = 16;  // the table is larger than the caches: prefetch its lines
    size_t i = 0;
    for (; i < keys.size(); ++i) {
      if (i + kAhead < keys.size() && keys[i + kAhead].size() <= 16) {
        const std::string_view later = keys[i + kAhead];
        PrefetchShort(later.size(), ShortKey::Load(later, later.data() + later.size()).Hash(later.size()));
      }
      if (!Insert(keys[i], values[i])) break;
    }
    return i;
  }

  // The value of `piece` (not empty), or kNone.
  int32_t Find(std::string_view piece, const char* readable_end) const {
    if (piece.size() > 16) return FindLong(piece);
    const ShortKey key = ShortKey::Load(piece, readable_end);
    return FindShort(key, piece.size(), key.Hash(piece.size()));
  }
  int32_t Find(std::string_view piece) const { return Find(piece, piece.data() + piece.size()); }

  // Find in two steps, for pieces of 1..16 bytes, so that the memory of several pieces can be fetched at
  // once.
  void PrefetchShort(size_t size, uint64_t hash) const {
    if (size <= 8) {
      __builtin_prefetch(&slots8_[Home(hash, slots8_.size())]);
    } else {
      __builtin_prefetch(&slots16_[Home(hash, slots16_.size())]);
    }
  }
  int32_t FindShort(const ShortKey& key, size_t size, uint64_t hash) const {
    if (size <= 8) {
      for (size_t i = Home(hash, slots8_.size());; i = (i + 1) & (slots8_.size() - 1)) {
        const Slot8& slot = slots8_[i];
        if (slot.low == key.low && slot.size == size) return slot.value;
        if (slot.size == 0) return kNone;
      }
    }
    for (size_t i = Home(hash, slots16_.size());; i = (i + 1) & (slots16_.size() - 1)) {
      const Slot16& slot = slots16_[i];
      if (slot.low == key.low && slot.high == key.high && slot.size == size) return slot.value;
      if (slot.size == 0) return kNone;
    }
  }

 private:
  struct Slot8 {
    uint64_t low = 0;
    int32_t value = kNone;
    uint32_t size = 0;  // 0: free
  };
  struct Slot16 {
    uint64_t low = 0;
    uint64_t high = 0;
    int32_t value = kNone;
    uint32_t size = 0;
  };
  struct SlotLong {
    uint64_t hash = 0;
    uint64_t offset = 0;  // into long_bytes_
    uint32_t size = 0;
    int32_t value = kNone;
  };

  static size_t SizeClass(size_t size) { return size <= 8 ? 0 : size <= 16 ? 1 : 2; }
  // A power of two that is at most 60 % full.
  static size_t SlotCount(size_t count) { return std::bit_ceil(count * 5 / 3 + 2); }
  // The top bits of the hash, which depend on all bits of the key.
  static size_t Home(uint64_t hash, size_t slots) {
    return static_cast<size_t>(hash >> (64 - std::countr_zero(slots)));
  }

  // False if the piece is there already.
  bool Insert(std::string_view piece, int32_t value) {
    QWEN25_CHECK(!piece.empty() && value >= 0);
    const auto size = static_cast<uint32_t>(piece.size());
    if (piece.size() > 16) {
      if (FindLong(piece) != kNone) return false;
      const uint64_t hash = Hash64(std::as_bytes(std::span(piece)));
      size_t i = Home(hash, slots_long_.size());
      while (slots_long_[i].size != 0) i = (i + 1) & (slots_long_.size() - 1);
      slots_long_[i] = {hash, long_bytes_.size(), size, value};
      long_bytes_ += piece;
      return true;
    }
    const ShortKey key = ShortKey::Load(piece, piece.data() + piece.size());
    const uint64_t hash = key.Hash(piece.size());
    if (piece.size() <= 8) {
      size_t i = Home(hash, slots8_.size());
      for (; slots8_[i].size != 0; i = (i + 1) & (slots8_.size() - 1)) {
        if (slots8_[i].low == key.low && slots8_[i].size == size) return false;
      }
      slots8_[i] = {key.low, value, size};
      return true;
    }
    size_t i = Home(hash, slots16_.size());
    for (; slots16_[i].size != 0; i = (i + 1) & (slots16_.size() - 1)) {
      if (slots16_[i].low == key.low && slots16_[i].high == key.high && slots16_[i].size == size)
        return false;
    }
    slots16_[i] = {key.low, key.high, value, size};
    return true;
  }

  int32_t FindLong(std::string_view piece) const {
    const uint64_t hash = Hash64(std::as_bytes(std::span(piece)));
    for (size_t i = Home(hash, slots_long_.size());; i = (i + 1) & (slots_long_.size() - 1)) {
      const SlotLong& slot = slots_long_[i];
      if (slot.size == 0) return kNone;
      if (slot.hash == hash && slot.size == piece.size() &&
          std::memcmp(long_bytes_.data() + slot.offset, piece.data(), piece.size()) == 0) {
        return slot.value;
      }
    }
  }

  std::vector<Slot8> slots8_ = std::vector<Slot8>(2);
  std::vector<Slot16> slots16_ = std::vector<Slot16>(2);
  std::vector<SlotLong> slots_long_ = std::vector<SlotLong>(2);
  std::string long_bytes_;
};

// (left id, right id) -> rank. Ids and ranks are below 2^21, so that pair and rank share one word:
// left << 42 | right << 21 | rank.
class MergeTable {
 public:
  static constexpr uint32_t kNoRank = (1u << 21) - 1;

  void Reset(size_t count) { slots_.assign(std::bit_ceil(count * 5 / 3 + 2), kFree); }
  // A pair that is there already takes the new rank.
  void Insert(int32_t left, int32_t right, uint32_t rank) {
    const uint64_t pair = Pair(left, right);
    size_t i = Home(pair);
    while (slots_[i] != kFree && slots_[i] >> 21 != pair) i = (i + 1) & (slots_.size() - 1);
    slots_[i] = pair << 21 | rank;
  }
  void Prefetch(int32_t left, int32_t right) const { __builtin_prefetch(&slots_[Home(Pair(left, right))]); }
  uint32_t Find(int32_t left, int32_t right) const {
    const uint64_t pair = Pair(left, right);
    for (size_t i = Home(pair);; i = (i + 1) & (slots_.size() - 1)) {
      const uint64_t slot = slots_[i];
      if (slot >> 21 == pair) return static_cast<uint32_t>(slot) & kNoRank;
      if (slot == kFree) return kNoRank;
    }
  }

 private:
  static constexpr uint64_t kFree = ~uint64_t{0};

  static uint64_t Pair(int32_t left, int32_t right) {
    return uint64_t{static_cast<uint32_t>(left)} << 21 | static_cast<uint32_t>(right);
  }
  size_t Home(uint64_t pair) const {
    return static_cast<size_t>(pair * 0x9e3779b97f4a7c15u >> (64 - std::countr_zero(slots_.size())));
  }

  std::vector<uint64_t> slots_ = std::vector<uint64_t>(2, kFree);
};

}  // namespace qwen25

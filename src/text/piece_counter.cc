#include "text/piece_counter.h"

#include <span>

#include "base/hash.h"

namespace qwen25 {

void PieceCounter::Add(const PieceCounter& other) {
  for (const ShortSlot& slot : other.short_) {
    if (slot.count != 0) AddShort(slot.key, slot.count);
  }
  for (const LongSlot& slot : other.long_) {
    if (slot.count != 0) AddLong(other.BytesOf(slot), slot.count);
  }
}

void PieceCounter::AddLong(std::string_view piece, uint64_t count) {
  const uint64_t hash = Hash64(std::as_bytes(std::span(piece)));
  const size_t mask = long_.size() - 1;
  for (size_t i = hash & mask;; i = (i + 1) & mask) {
    LongSlot& slot = long_[i];
    if (slot.count == 0) {
      slot = {hash, arena_.size(), piece.size(), count};
      arena_ += piece;
      if (2 * ++num_long_ > long_.size()) GrowLong();
      return;
    }
    if (slot.hash == hash && BytesOf(slot) == piece) {
      slot.count += count;
      return;
    }
  }
}

void PieceCounter::GrowShort() {
  std::vector<ShortSlot> old(2 * short_.size());
  old.swap(short_);
  const size_t mask = short_.size() - 1;
  for (const ShortSlot& slot : old) {
    if (slot.count == 0) continue;
    size_t i = HashOf(slot.key) & mask;
    while (short_[i].count != 0) i = (i + 1) & mask;
    short_[i] = slot;
  }
}

void PieceCounter::GrowLong() {
  std::vector<LongSlot> old(2 * long_.size());
  old.swap(long_);
  const size_t mask = long_.size() - 1;
  for (const LongSlot& slot : old) {
    if (slot.count == 0) continue;
    size_t i = slot.hash & mask;
    while (long_[i].count != 0) i = (i + 1) & mask;
    long_[i] = slot;
  }
}

}  // namespace qwen25

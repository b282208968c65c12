// The tape: forward ops record themselves, backward walks the records in reverse (docs/design.md, "Ops with
// exact gradients on a tape").
#pragma once

#include <algorithm>
#include <cstddef>
#include <new>
#include <utility>
#include <vector>

#include "base/check.h"
#include "tensor/aligned_buffer.h"

namespace qwen25 {

struct Execution;

// Records of ops, in the order they ran. A record is a struct with what the op saved (tensor handles,
// pointers, sizes) and a member `void Backward(Execution&)` that adds gradients to the op's inputs. Walking
// back destroys each record right after it ran, which frees the activations that only it held.
//
// Memory grows by chunks as records come, so that no depth of a model is too large, and is kept: a second
// step of the same kind allocates nothing. Records never move.
class Tape {
 public:
  explicit Tape(size_t chunk_bytes = size_t{1} << 18) : chunk_bytes_(chunk_bytes) {}
  ~Tape() { Clear(); }
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;

  template <typename Record>
  void Push(Record record) {
    static_assert(alignof(Record) <= alignof(Header));
    const Place begin = MakeRoom(sizeof(Header) + sizeof(Record));
    std::byte* at = chunks_[begin.chunk].data() + begin.offset;
    new (at + sizeof(Header)) Record(std::move(record));
    last_ = new (at) Header{
        [](std::byte* data, Execution& execution) { reinterpret_cast<Record*>(data)->Backward(execution); },
        [](std::byte* data) { reinterpret_cast<Record*>(data)->~Record(); }, last_, begin};
    end_ = {begin.chunk, begin.offset + RoundUp(sizeof(Header) + sizeof(Record))};
    ++num_records_;
  }

  // A place on the tape: the number of records before it.
  size_t position() const { return num_records_; }
  // Runs and removes the records after `position`, last first. A record may push further records while it
  // runs (a recomputed segment does) if it walks back over them itself before it returns.
  void BackwardTo(size_t position, Execution& execution) {
    while (num_records_ > position) {
      Header* record = last_;
      record->backward(DataOf(record), execution);
      Remove();
    }
  }
  // Forgets all records.
  void Clear() {
    while (num_records_ > 0) Remove();
  }

 private:
  struct Place {
    size_t chunk = 0, offset = 0;
  };
  // Stands before its record.
  struct alignas(16) Header {
    void (*backward)(std::byte* data, Execution& execution);
    void (*destroy)(std::byte* data);
    Header* previous;
    Place begin;  // of this header
  };

  static constexpr size_t RoundUp(size_t num_bytes) {
    return (num_bytes + alignof(Header) - 1) / alignof(Header) * alignof(Header);
  }
  static std::byte* DataOf(Header* header) { return reinterpret_cast<std::byte*>(header) + sizeof(Header); }

  // Where the next num_bytes bytes go: after the last record, or into the next chunk that has room.
  Place MakeRoom(size_t num_bytes) {
    Place place = end_;
    while (place.chunk < chunks_.size() && place.offset + num_bytes > chunks_[place.chunk].size()) {
      place = {place.chunk + 1, 0};
    }
    if (place.chunk == chunks_.size()) chunks_.emplace_back(std::max(chunk_bytes_, num_bytes));
    return place;
  }
  void Remove() {
    Header* record = last_;
    end_ = record->begin;
    last_ = record->previous;
    record->destroy(DataOf(record));
    --num_records_;
  }

  const size_t chunk_bytes_;
  std::vector<AlignedBuffer<std::byte>> chunks_;
  Header* last_ = nullptr;
  Place end_;  // of the last record
  size_t num_records_ = 0;
};

}  // namespace qwen25

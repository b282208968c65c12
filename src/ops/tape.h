// The tape: forward ops record themselves, backward walks the records in reverse (docs/design.md, "Ops with
// exact gradients on a tape").
#pragma once

#include <cstddef>
#include <new>
#include <utility>

#include "base/check.h"
#include "tensor/aligned_buffer.h"

namespace qwen25 {

struct Execution;

// Records of ops, in the order they ran. A record is a struct with what the op saved (tensor handles,
// pointers, sizes) and a member `void Backward(Execution&)` that adds gradients to the op's inputs. Walking
// back destroys each record right after it ran, which frees the activations that only it held.
class Tape {
 public:
  explicit Tape(size_t capacity_bytes = size_t{1} << 20) : storage_(capacity_bytes) {}
  ~Tape() { Clear(); }
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;

  template <typename Record>
  void Push(Record record) {
    static_assert(alignof(Record) <= alignof(Header));
    const size_t record_bytes = (sizeof(Record) + alignof(Header) - 1) / alignof(Header) * alignof(Header);
    QWEN25_CHECK(end_ + sizeof(Header) + record_bytes <= storage_.size());
    new (storage_.data() + end_) Record(std::move(record));
    // The header stands behind its record, so that the walk back finds it first.
    new (storage_.data() + end_ + record_bytes) Header{
        [](std::byte* data, Execution& execution) { reinterpret_cast<Record*>(data)->Backward(execution); },
        [](std::byte* data) { reinterpret_cast<Record*>(data)->~Record(); }, record_bytes};
    end_ += record_bytes + sizeof(Header);
  }

  // A place on the tape.
  size_t position() const { return end_; }
  // Runs and removes the records behind `position`, last first. A record may push further records while it
  // runs (a recomputed segment does) if it walks back over them itself before it returns.
  void BackwardTo(size_t position, Execution& execution) {
    while (end_ > position) {
      const Header header = Last();
      header.backward(RecordOf(header), execution);
      Remove(header);
    }
  }
  // Forgets all records.
  void Clear() {
    while (end_ > 0) Remove(Last());
  }

 private:
  struct alignas(16) Header {
    void (*backward)(std::byte* data, Execution& execution);
    void (*destroy)(std::byte* data);
    size_t record_bytes;
  };

  Header Last() const { return *reinterpret_cast<const Header*>(storage_.data() + end_ - sizeof(Header)); }
  std::byte* RecordOf(const Header& header) const {
    return storage_.data() + end_ - sizeof(Header) - header.record_bytes;
  }
  void Remove(const Header& header) {
    header.destroy(RecordOf(header));
    end_ -= sizeof(Header) + header.record_bytes;
  }

  AlignedBuffer<std::byte> storage_;
  size_t end_ = 0;
};

}  // namespace qwen25

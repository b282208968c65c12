// Where attention finds keys, values and summaries: what FillBlocks, Attend and AttendRouted see of it.
//
// Each kind has
//   ScratchFloats()                        per thread, that Target and AttendTo are given
//   Target(sequence, kv_head, block, ..)   a float32 block to write slots into
//   Stored(.., target)                     takes them over; a block that is full gets its summary
//   StartTask(scratch)                     before the first AttendTo of a task
//   AttendTo(task, tile, .., block, ..)    adds one block to a tile; `next` is the one after it or kNoBlock
//   HasPanels(sequence), Panels(sequence, kv_head)   summaries
#pragma once

#include <algorithm>
#include <optional>
#include <type_traits>

#include "kernels/attention.h"
#include "kernels/block_summary.h"
#include "ops/attention/attention_tasks.h"
#include "ops/attention/sequence_kv.h"
#include "ops/routing/tile_choice.h"

namespace qwen25 {

// One kv head of a block of BytesPerBlock() bytes. Block: of kernels/kv_block.h.
template <typename Block>
Block HeadBlock(const AttentionShape& shape, std::byte* data, size_t kv_head) {
  return Block::At(data + kv_head * Block::NumBytes(shape.head_dim), shape.head_dim);
}

// One kv head of a block, in scratch memory.
inline KvBlock ScratchBlock(const AttentionShape& shape, float* scratch) {
  return {scratch, kBlockTokens, scratch + shape.head_dim * kBlockTokens};
}

// Blocks of one kv head that were read from a file, in scratch memory: tokens that lie side by side often
// choose the same ones.
class FileCopies {
 public:
  static size_t NumFloats(size_t block_bytes) {
    return (kCopies * (sizeof(Copied) + block_bytes) + kAlignment) / sizeof(float);
  }
  FileCopies(float* memory, size_t block_bytes)
      : copied_(reinterpret_cast<Copied*>((reinterpret_cast<uintptr_t>(memory) + kAlignment - 1) /
                                          kAlignment * kAlignment)),
        blocks_(reinterpret_cast<std::byte*>(copied_ + kCopies)),
        block_bytes_(block_bytes) {}

  // At the start, and where others may have written to blocks.
  void Forget() { std::fill_n(copied_, kCopies, nullptr); }
  // A copy of the block at `data`, the index-th of its list; null where the file cannot be read.
  std::byte* Of(const BlockFile& file, const std::byte* data, size_t index) {
    const size_t place = index % kCopies;
    std::byte* copy = blocks_ + place * block_bytes_;
    if (copied_[place] == data) return copy;
    const bool read = file.Read(data, block_bytes_, copy);
    copied_[place] = read ? data : nullptr;
    return read ? copy : nullptr;
  }

 private:
  using Copied = const std::byte*;
  static constexpr size_t kCopies = 32;  // of 16 KiB where D is 64, in float16: half of a second-level cache
  static constexpr size_t kAlignment = 64;

  Copied* copied_;  // [kCopies]
  std::byte* blocks_;
  size_t block_bytes_;
};

// What blocks that the caller owns have in common.
struct ListedKv {
  const AttentionShape& shape;
  std::span<const SequenceKv> kv;

  bool HasPanels(size_t sequence) const { return !kv[sequence].summaries.empty(); }
  SequencePanels Panels(size_t sequence, size_t kv_head) const {
    const size_t offset = kv_head * NumbersPerPanel(shape.head_dim);
    const SequenceKv& listed = kv[sequence];
    return {.blocks = {.pointers = listed.summaries.data(), .offset = offset},
            .supers = {.pointers = listed.super_summaries.data(), .offset = offset},
            .has_supers = !listed.super_summaries.empty(),
            .num_recalled = listed.num_recalled,
            .recalled_tokens = listed.recalled_tokens};
  }
  size_t NumRecalled(size_t sequence) const { return kv[sequence].num_recalled; }
  // Floats of FileCopies for one task; none where no block lies in a file.
  template <typename Block>
  size_t CopyFloats() const {
    const bool any = std::ranges::any_of(kv, [](const SequenceKv& listed) { return listed.file != nullptr; });
    return any ? FileCopies::NumFloats(Block::NumBytes(shape.head_dim)) : 0;
  }
  // `state` for a block after which `next` follows.
  template <typename Block>
  AttendState Before(const AttentionTask& task, size_t next, AttendState state) const {
    const SequenceKv& listed = kv[task.sequence];
    if (next != kNoBlock && next >= listed.num_recalled && listed.file == nullptr) {
      state.next = listed.blocks[next] + task.kv_head * Block::NumBytes(shape.head_dim);
    }
    return state;
  }
  // `tile` as it sees a block.
  QueryTile Seeing(const AttentionTask& task, const QueryTile& tile, size_t block) const {
    QueryTile part = tile;
    const std::span<const uint8_t> counts = kv[task.sequence].recalled_tokens;
    if (block < counts.size()) part.block_tokens = counts[block];
    return part;
  }
  void ForgetCopies(float* memory) const {
    if (CopyFloats<KvBlock>() > 0) FileCopies(memory, 0).Forget();
  }
  // One kv head of a block to read, which may lie in FileCopies; none where it has to be left out.
  template <typename Block>
  std::optional<Block> Readable(const AttentionTask& task, const QueryTile& tile, const RotaryAngles& rotary,
                                size_t block, float* copies) const {
    const SequenceKv& listed = kv[task.sequence];
    std::byte* data = block < listed.num_recalled
                          ? const_cast<std::byte*>(listed.source->Block(listed.layer, block))
                          : listed.blocks[block];
    if (data == nullptr) return std::nullopt;
    const bool is_far = tile.block() >= block + rotary.max_distance;
    if (listed.file != nullptr && is_far && block >= listed.num_recalled) {
      const size_t num_bytes = Block::NumBytes(shape.head_dim);
      std::byte* copy =
          FileCopies(copies, num_bytes).Of(*listed.file, data + task.kv_head * num_bytes, block);
      if (copy != nullptr) return Block::At(copy, shape.head_dim);
    }
    return HeadBlock<Block>(shape, data, task.kv_head);
  }
  // Where the summary of a block, or of a panel among its super panels, is written.
  uint16_t* Panel(std::span<std::byte* const> panels, size_t kv_head, size_t panel) const {
    return reinterpret_cast<uint16_t*>(panels[panel]) + kv_head * NumbersPerPanel(shape.head_dim);
  }

 protected:
  template <typename Block>
  void SummarizeIfFull(size_t sequence, size_t kv_head, size_t block, size_t end_offset,
                       const Block& stored) const {
    if (end_offset < kBlockTokens || !HasPanels(sequence)) return;
    SummarizeBlock(shape.head_dim, stored, block % kPanelBlocks,
                   Panel(kv[sequence].summaries, kv_head, block / kPanelBlocks));
  }
};

// Float32 blocks that the caller owns.
struct ListedBlocks : ListedKv {
  size_t ScratchFloats() const { return CopyFloats<KvBlock>(); }
  void StartTask(float* scratch) const { ForgetCopies(scratch); }
  KvBlock Target(size_t sequence, size_t kv_head, size_t block, float*) const {
    return HeadBlock<KvBlock>(shape, kv[sequence].blocks[block], kv_head);
  }
  void Stored(size_t sequence, size_t kv_head, size_t block, size_t first_offset, size_t num_tokens,
              const KvBlock& target) const {
    SummarizeIfFull(sequence, kv_head, block, first_offset + num_tokens, target);
  }
  // Summarises a block that is full.
  void Summarize(size_t sequence, size_t kv_head, size_t block) const {
    SummarizeIfFull(sequence, kv_head, block, kBlockTokens, Target(sequence, kv_head, block, nullptr));
  }
  void AttendTo(const AttentionTask& task, const QueryTile& tile, const RotaryAngles& rotary, size_t block,
                size_t, float* scratch, const AttendState& state) const {
    const auto data = Readable<KvBlock>(task, tile, rotary, block, scratch);
    if (data) AttendToBlock(Seeing(task, tile, block), rotary, *data, block, state);
  }
};

// Blocks that the caller owns in a narrower format: written, and where that is faster read, by way of scratch
// memory.
template <typename Block>
struct ListedNarrowBlocks : ListedKv {
  size_t WideFloats() const { return 2 * shape.head_dim * kBlockTokens; }
  size_t ScratchFloats() const { return WideFloats() + CopyFloats<Block>(); }
  void StartTask(float* scratch) const { ForgetCopies(scratch + WideFloats()); }
  KvBlock Target(size_t, size_t, size_t, float* scratch) const { return ScratchBlock(shape, scratch); }
  void Stored(size_t sequence, size_t kv_head, size_t block, size_t first_offset, size_t num_tokens,
              const KvBlock& target) const {
    const Block stored = HeadBlock<Block>(shape, kv[sequence].blocks[block], kv_head);
    NarrowSlots(shape.head_dim, first_offset, num_tokens, target, stored);
    SummarizeIfFull(sequence, kv_head, block, first_offset + num_tokens, stored);
  }
  // Summarises a block that is full.
  void Summarize(size_t sequence, size_t kv_head, size_t block) const {
    SummarizeIfFull(sequence, kv_head, block, kBlockTokens,
                    HeadBlock<Block>(shape, kv[sequence].blocks[block], kv_head));
  }
  void AttendTo(const AttentionTask& task, const QueryTile& tile, const RotaryAngles& rotary, size_t block,
                size_t next, float* scratch, const AttendState& state) const {
    const auto data = Readable<Block>(task, tile, rotary, block, scratch + WideFloats());
    if (!data) return;
    AttendToBlock(Seeing(task, tile, block), rotary, *data, ScratchBlock(shape, scratch), block,
                  Before<Block>(task, next, state));
  }
};

// Calls function(blocks) with the kind of blocks that the shape names.
template <typename Function>
void WithListedBlocks(const AttentionShape& shape, std::span<const SequenceKv> kv, const Function& function) {
  WithKvBlock(shape.kv_format, [&]<typename Block>(std::type_identity<Block>) {
    using Listed =
        std::conditional_t<std::is_same_v<Block, KvBlock>, ListedBlocks, ListedNarrowBlocks<Block>>;
    function(Listed{{shape, kv}});
  });
}

// Blocks of SelfAttention: those of a sequence one behind the other, the last one cut to 16 tokens, so that
// many short sequences take little memory. Summaries, where there is memory for them, likewise.
class TemporaryBlocks {
 public:
  // Rows of [2 K D] floats that a batch needs.
  static size_t NumRows(const TokenBatch& batch) {
    return Round(batch.num_tokens()) + kUnit * batch.num_sequences();
  }
  // Panels that the summaries of a batch need, each K * NumbersPerPanel(D) numbers of 2 bytes.
  static size_t NumPanels(const TokenBatch& batch) {
    return batch.num_tokens() / (kPanelBlocks * kBlockTokens) + batch.num_sequences();
  }

  // `panels` may be null.
  TemporaryBlocks(const AttentionShape& shape, const TokenBatch& batch, float* data,
                  uint16_t* panels = nullptr)
      : shape_(shape), batch_(batch), data_(data), panels_(panels) {}

  size_t ScratchFloats() const { return 0; }
  void StartTask(float*) const {}
  KvBlock Target(size_t sequence, size_t kv_head, size_t block, float*) const {
    const size_t begin = Start(sequence), length = Start(sequence + 1) - begin;
    const size_t first_token = block * kBlockTokens;
    const size_t stride = Round(std::min(kBlockTokens, length - first_token));
    // Enough behind the sequence before: Round(begin) + Round(length) <= Round(begin + length) + kUnit.
    const size_t first_row = Round(begin) + kUnit * sequence + first_token;
    float* keys = data_ + 2 * shape_.head_dim * (first_row * shape_.num_kv_heads + kv_head * stride);
    return {keys, stride, keys + shape_.head_dim * stride};
  }
  void Stored(size_t sequence, size_t kv_head, size_t block, size_t, size_t num_tokens,
              const KvBlock& target) const {
    if (num_tokens < kBlockTokens || panels_ == nullptr) return;
    SummarizeBlock(shape_.head_dim, target, block % kPanelBlocks,
                   Panel(sequence, kv_head, block / kPanelBlocks));
  }
  void AttendTo(const AttentionTask& task, const QueryTile& tile, const RotaryAngles& rotary, size_t block,
                size_t, float*, const AttendState& state) const {
    AttendToBlock(tile, rotary, Target(task.sequence, task.kv_head, block, nullptr), block, state);
  }
  bool HasPanels(size_t) const { return panels_ != nullptr; }
  size_t NumRecalled(size_t) const { return 0; }
  SequencePanels Panels(size_t sequence, size_t kv_head) const {
    const size_t panel_numbers = NumbersPerPanel(shape_.head_dim),
                 stride = shape_.num_kv_heads * panel_numbers;
    return {.blocks = {.base = panels_ + FirstPanel(sequence) * stride,
                       .offset = kv_head * panel_numbers,
                       .stride = stride}};
  }

 private:
  size_t FirstPanel(size_t sequence) const {
    return Start(sequence) / (kPanelBlocks * kBlockTokens) + sequence;
  }
  uint16_t* Panel(size_t sequence, size_t kv_head, size_t panel) const {
    const size_t index = (FirstPanel(sequence) + panel) * shape_.num_kv_heads + kv_head;
    return panels_ + index * NumbersPerPanel(shape_.head_dim);
  }
  static constexpr size_t kUnit = 16;
  static size_t Round(size_t tokens) { return (tokens + kUnit - 1) / kUnit * kUnit; }
  size_t Start(size_t sequence) const { return static_cast<size_t>(batch_.sequence_starts[sequence]); }

  const AttentionShape& shape_;
  const TokenBatch& batch_;
  float* data_;
  uint16_t* panels_;
};

}  // namespace qwen25

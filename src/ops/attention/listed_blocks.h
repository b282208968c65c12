// Where attention finds keys, values and summaries, as FillBlocks and BatchAttention see it.
//
// Each kind has
//   ScratchFloats()                        per thread, that Target and AttendTo are given
//   Target(sequence, kv_head, block, ..)   a float32 block to write slots into
//   Stored(.., target)                     takes them over; a block that is full gets its summary
//   StartTask(scratch)                     called before the first AttendTo of a task
//   AttendTo(task, tile, .., block, ..)    adds one block to a tile; `next` is the one after it or kNoBlock
//   ScoreKeys(task, tile, .., masses)      KeyMasses of one block; minus infinity if it has to be left out;
//                                          `next` as for AttendTo
//   HasPanels(sequence), Panels(sequence, kv_head)   summaries
#pragma once

#include <algorithm>
#include <limits>
#include <optional>
#include <span>
#include <type_traits>

#include "kernels/attention.h"
#include "kernels/block_summary.h"
#include "ops/attention/attention_tasks.h"
#include "ops/attention/file_copies.h"
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

// The common part of all blocks that the caller owns.
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
  // Floats of FileCopies for one task; 0 if no block lies in a file.
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
  // One kv head of a block to read, which may lie in FileCopies; none if it has to be left out.
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
  // The place of the summary of a block, or of a panel among its super panels.
  uint16_t* Panel(std::span<std::byte* const> panels, size_t kv_head, size_t panel) const {
    return reinterpret_cast<uint16_t*>(panels[panel]) + kv_head * NumbersPerPanel(shape.head_dim);
  }

 protected:
  static void NoMasses(const QueryTile& tile, float* masses) {
    std::fill_n(masses, tile.num_rows(), -std::numeric_limits<float>::infinity());
  }
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
  void ScoreKeys(const AttentionTask& task, const QueryTile& tile, const RotaryAngles& rotary, size_t block,
                 size_t, float* scratch, const AttendState& state, float* masses) const {
    const auto data = Readable<KvBlock>(task, tile, rotary, block, scratch);
    if (!data) return NoMasses(tile, masses);
    KeyMasses(Seeing(task, tile, block), rotary, *data, block, state, masses);
  }
};

// Blocks that the caller owns in a narrower format: written by way of scratch memory, and read that way if it
// is faster.
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
  void ScoreKeys(const AttentionTask& task, const QueryTile& tile, const RotaryAngles& rotary, size_t block,
                 size_t next, float* scratch, const AttendState& state, float* masses) const {
    const auto data = Readable<Block>(task, tile, rotary, block, scratch + WideFloats());
    if (!data) return NoMasses(tile, masses);
    KeyMasses(Seeing(task, tile, block), rotary, *data, ScratchBlock(shape, scratch), block,
              Before<Block>(task, next, state), masses);
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

}  // namespace qwen25

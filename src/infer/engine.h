// A model ready to answer: with the threads and the memory that its sessions share.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/hash.h"
#include "base/status.h"
#include "base/thread_pool.h"
#include "memory/block_pool.h"
#include "memory/block_store.h"
#include "memory/block_writer.h"
#include "memory/recalled_blocks.h"
#include "model/decoder.h"
#include "model/model.h"

namespace qwen25 {

// What one sequence brings to a forward pass.
struct SequenceRows {
  std::span<const int32_t> tokens;  // at least one
  size_t first_position = 0;        // of these, where recalled blocks come first
  std::span<const SequenceKv> kv;   // [layers], with room for the tokens, which num_tokens counts already
  std::span<const LayerRouting> routing = {};  // [layers]; empty, as for all others of the pass: all is read
  std::span<float> logits = {};                // set: [n, vocab_size] of the last n tokens; empty: of none
  const RecalledBlocks* recalled = nullptr;    // what `kv` begins with; in a pass, all of one store
  // Set: kCorrupt, with the place, if numbers are not finite; kIo if keys and values cannot be read from the
  // disk, spilled or recalled ones.
  Status error = {};
};

// A model with the threads and memory that its sessions share. One thread at a time uses it.
class InferenceEngine {
 public:
  struct Options {
    size_t num_threads = 0;                         // 0: DefaultNumThreads()
    std::shared_ptr<ThreadPool> threads = nullptr;  // those of another engine, instead
    size_t max_context_tokens = 0;  // of one session; 0, or more than the model has positions: these
    size_t max_total_tokens = 0;    // of all sessions together; 0: max_context_tokens
    KvFormat kv_format = KvFormat::kFloat32;
    std::optional<RoutingPolicy> routing = {};  // of sessions that choose none; none: the model's own
    // Keeps the summaries of blocks that routing needs also if `routing` is dense, for Session::SetRouting.
    bool keep_summaries = false;
    // Contextual memory expansion: a multiple of 64 tokens, at most as many as the model has positions. Keys
    // so far back are seen at their true distance; what is older is recalled by the router and seen at this
    // one, so that a session may grow to history_bytes of keys and values. They lie in a file of
    // `spill_directory`, and about working_bytes of them in RAM. Every layer must be routed. 0: off.
    size_t recall_window = 0;
    std::filesystem::path spill_directory = {};  // empty: as ChooseSpillFolder chooses
    uint64_t history_bytes = uint64_t{16} << 30;
    size_t working_bytes = size_t{256} << 20;
  };
  // What a recall window asks of model and options: kInvalidArgument names the option and the rule. Errors of
  // ChooseSpillFolder (memory/spill_folder.h).
  static Status Check(const ModelConfig& config, const Options& options);

  // Options must pass Check.
  InferenceEngine(Model model, const Options& options);

  const Model& model() const { return model_; }
  Execution& execution() { return execution_; }
  BlockPool& blocks() { return blocks_; }
  // Panels of block summaries, each a block of this pool, and panels of summaries of their parts
  // (ops/routing/tile_choice.h); null where none are kept.
  BlockPool* summaries() { return summaries_ ? &*summaries_ : nullptr; }
  BlockPool* super_summaries() { return super_summaries_ ? &*super_summaries_ : nullptr; }

  // Of sessions that choose none.
  const RoutingPolicy& routing() const { return routing_; }
  // kInvalidArgument for a policy that is not valid, or that is not dense while no summaries are kept.
  Status CheckRouting(const RoutingPolicy& policy) const;
  const std::shared_ptr<ThreadPool>& shared_threads() const { return threads_; }

  // Where sessions that begin from now on keep their keys and values for later ones, of this process and of
  // those to come; null: nowhere. It must outlive the engine, which writes to it to its end. Reads all
  // weights once, to tell models apart.
  void SetStore(BlockStore* store);
  BlockStore* store() const { return store_; }
  // What writes blocks of sessions to the store, on a thread of its own; null without a store.
  BlockWriter* writer() const { return writer_.get(); }
  // How often a namespace was erased from the store. What was published of it before is not shared from now
  // on.
  uint64_t NoteErasures(const std::string& name_space, const Hash128& owner);
  // Of the blocks in the store: of this model, with its rotary settings and formats.
  const BlockFormat& block_format() const { return block_format_; }
  // Of the blocks of sessions.
  AttentionShape block_shape() const;
  // Everything but model and tokens that the keys and values of a sequence with this policy depend on; a part
  // of what the names of blocks begin with (memory/block_id.h).
  Hash128 SettingsName(const RoutingPolicy& policy) const;
  // One forward pass: appends keys and values of all sequences, and sets their logits and errors. Every
  // sequence gets the bits that it would get alone.
  void Forward(std::span<SequenceRows> sequences);
  // Tokens; 0: none.
  size_t recall_window() const { return recall_window_; }
  // The most tokens one session can hold.
  size_t max_context_tokens() const { return max_context_tokens_; }
  // ops' SummarizeBlocks of one layer.
  void SummarizeBlocks(const SequenceKv& kv, size_t first, size_t end);

 private:
  void ReleaseRamWhereTooMuch();
  void Run(std::span<SequenceRows> sequences);
  DecoderOptions OptionsOfPass() const;
  // Sets the errors of sequences after a pass.
  void FindErrors(const Tensor& hidden, std::span<SequenceRows> sequences);

  Model model_;
  std::shared_ptr<ThreadPool> threads_;
  TensorPool tensors_;
  Scratch scratch_;
  Execution execution_;
  size_t max_context_tokens_;
  KvFormat kv_format_;
  BlockPool blocks_;
  std::optional<BlockPool> summaries_, super_summaries_;
  std::optional<RotaryTable> clamped_rotary_;  // with a recall window
  size_t working_bytes_, recall_window_;
  BlockStore* store_ = nullptr;
  BlockFormat block_format_;
  RoutingPolicy routing_;
  // The batch of the current pass.
  std::vector<int32_t> tokens_, positions_, sequence_starts_, logit_rows_;
  std::vector<SequenceKv> kv_;                 // [layers][sequences]
  std::vector<LayerRouting> routing_of_pass_;  // the same, or empty
  std::map<std::string, uint64_t> erasures_;   // of namespaces, as far as the pool knows
  std::unique_ptr<BlockWriter> writer_;        // the first to go: it holds blocks of the pool
};

}  // namespace qwen25

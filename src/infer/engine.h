// A model ready for inference, with the threads and the memory that its sessions share.
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
#include "infer/pass_adapters.h"
#include "memory/block_pool.h"
#include "memory/block_store.h"
#include "memory/block_writer.h"
#include "memory/recalled_blocks.h"
#include "model/adapter/adapter_set.h"
#include "model/decoder.h"
#include "model/model.h"

namespace qwen25 {

// The part of one sequence in a forward pass.
struct SequenceRows {
  std::span<const int32_t> tokens;  // at least one
  size_t first_position = 0;        // position of tokens[0], counted from the first recalled block
  std::span<const SequenceKv> kv;   // [layers], with room for the tokens, which num_tokens already includes
  std::span<const LayerRouting> routing = {};  // [layers]; in all sequences of a pass or in none (dense)
  const AdapterSet* adapters = nullptr;        // null: none
  std::span<float> logits = {};                // out: [n, vocab_size] of the last n tokens; may be empty
  const RecalledBlocks* recalled = nullptr;    // the first blocks of `kv`; of the same store in all of a pass
  // Out: kCorrupt, with the layer, if a number is not finite; kIo if spilled or recalled keys and values
  // cannot be read from the disk.
  Status error = {};
};

// Runs the forward passes of its sessions. One thread at a time may use the engine and its sessions.
class InferenceEngine {
 public:
  struct Options {
    size_t num_threads = 0;                         // 0: DefaultNumThreads()
    std::shared_ptr<ThreadPool> threads = nullptr;  // used instead, e.g. those of another engine
    // Of one session; 0: as many as the model has positions, or, with a recall window, as history_bytes hold.
    // These are also the upper limit.
    size_t max_context_tokens = 0;
    size_t max_total_tokens = 0;  // of all sessions together; raised to max_context_tokens
    KvFormat kv_format = KvFormat::kFloat32;
    std::optional<RoutingPolicy> routing = {};  // default for sessions; none: the model's own
    // Default for sessions; null: none.
    std::shared_ptr<const AdapterSet> adapters = nullptr;
    // Keep block summaries even if `routing` is dense, so that Session::SetRouting can switch routing on.
    bool keep_summaries = false;
    // Contextual memory expansion: keys up to `recall_window` tokens back are seen at their true distance.
    // The router recalls older blocks, which are seen at distance recall_window, so that a session may grow
    // to history_bytes of keys and values. They lie in a file in `spill_directory`, about working_bytes of
    // them in RAM. A multiple of 64, at most the model's positions; every layer must be routed. 0: off.
    size_t recall_window = 0;
    std::filesystem::path spill_directory = {};  // empty: as ChooseSpillFolder chooses
    uint64_t history_bytes = uint64_t{16} << 30;
    size_t working_bytes = size_t{256} << 20;
  };
  // Checks that adapters and the options of a recall window fit the model: kInvalidArgument names the option
  // and the rule.
  // Also errors of ChooseSpillFolder (memory/spill_folder.h).
  static Status Check(const ModelConfig& config, const Options& options);

  // `options` must pass Check.
  InferenceEngine(Model model, const Options& options);

  const Model& model() const { return model_; }
  Execution& execution() { return execution_; }
  BlockPool& blocks() { return blocks_; }
  // Pools of panels of block summaries, and of panels of summaries of groups of blocks
  // (ops/routing/tile_choice.h). A panel is one block of its pool. Null if the engine keeps none.
  BlockPool* summaries() { return summaries_ ? &*summaries_ : nullptr; }
  BlockPool* super_summaries() { return super_summaries_ ? &*super_summaries_ : nullptr; }

  // The default of sessions.
  const RoutingPolicy& routing() const { return routing_; }
  // kInvalidArgument if the policy is not valid, or if it is not dense and the engine keeps no summaries.
  Status CheckRouting(const RoutingPolicy& policy) const;
  // The default of sessions; null: none.
  const std::shared_ptr<const AdapterSet>& adapters() const { return adapters_; }
  const std::shared_ptr<ThreadPool>& shared_threads() const { return threads_; }

  // Sets the store in which sessions created from now on keep their keys and values for later sessions, of
  // this and later processes; null: none. It must outlive the engine, whose destructor still writes to it.
  // Reads all weights once to compute the model's fingerprint.
  void SetStore(BlockStore* store);
  BlockStore* store() const { return store_; }
  // Writes blocks of sessions to the store on a thread of its own; null without a store.
  BlockWriter* writer() const { return writer_.get(); }
  // Returns how often the namespace was erased from the store. If that has changed since the last call,
  // blocks published by `owner`, the hash of its name, are no longer shared.
  uint64_t NoteErasures(const std::string& name_space, const Hash128& owner);
  // The format of blocks in the store: identifies this model, its default adapters, rotary settings and
  // formats.
  const BlockFormat& block_format() const { return block_format_; }
  // The same with other adapters than the default ones; null or an empty set: none.
  BlockFormat BlockFormatOf(const AdapterSet* adapters) const;
  // The shape of sessions' blocks.
  AttentionShape block_shape() const;
  // A hash of everything but model and tokens that affects the keys and values of a sequence with this policy
  // and these adapters, which may be null. It enters the names of blocks (memory/block_id.h).
  Hash128 SettingsName(const RoutingPolicy& policy, const AdapterSet* adapters) const;
  // Runs one forward pass: appends keys and values of all sequences, and sets their logits and errors. The
  // results are bit-identical to those of a pass for each sequence alone.
  void Forward(std::span<SequenceRows> sequences);
  // In tokens; 0: none.
  size_t recall_window() const { return recall_window_; }
  // The most tokens that one session can hold.
  size_t max_context_tokens() const { return max_context_tokens_; }
  // Writes the summaries of blocks [first, end) of one layer of a sequence.
  void SummarizeBlocks(const SequenceKv& kv, size_t first, size_t end);

 private:
  void ReleaseRamWhereTooMuch();
  void Run(std::span<SequenceRows> sequences);
  DecoderOptions OptionsOfPass() const;
  // Sets the sequences' errors after a pass.
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
  std::optional<RotaryTable> clamped_rotary_;  // set with a recall window
  size_t working_bytes_, recall_window_;
  BlockStore* store_ = nullptr;
  BlockFormat block_format_, plain_block_format_;  // with the default adapters, and with none
  RoutingPolicy routing_;
  std::shared_ptr<const AdapterSet> adapters_;
  PassAdapters pass_adapters_;
  // The batch of the current pass; members keep their memory.
  std::vector<int32_t> tokens_, positions_, sequence_starts_, logit_rows_;
  std::vector<SequenceKv> kv_;                 // [layers][sequences]
  std::vector<LayerRouting> routing_of_pass_;  // [layers][sequences], or empty
  std::map<std::string, uint64_t> erasures_;   // by namespace, as of the last NoteErasures
  std::unique_ptr<BlockWriter> writer_;  // last, so that it is destroyed first: it holds blocks of the pool
};

}  // namespace qwen25

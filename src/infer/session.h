// A sequence of tokens that a model has read, such as a conversation.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/hash.h"
#include "base/status.h"
#include "infer/engine.h"
#include "memory/block_list.h"
#include "memory/block_pool.h"
#include "memory/block_writer.h"
#include "memory/recalled_blocks.h"

namespace qwen25 {

class Session;

// The tokens that one forward pass appends to one session: a chunk of a prompt, or the token just drawn.
struct SessionTokens {
  Session* session;
  std::span<const int32_t> tokens;  // at least one
  size_t num_logit_rows = 1;        // keep the logits of this many last tokens, 0 to kMaxLogitRows
};

// Appends to several sessions of one engine in one forward pass, which reads the weights once for all.
// Results are bit-identical to those of Session::Append. Makes the checks of Session::Append before anything
// changes; does not cut tokens into chunks. kInvalidArgument if a session occurs twice. After kCorrupt or
// kIo, the sessions with an error() are as before, and the tokens of all others are appended.
Status AppendTogether(InferenceEngine& engine, std::span<const SessionTokens> parts);

// How many tokens at the beginning of a prompt did not have to be computed, by where they were found.
struct PrefixReuse {
  size_t held = 0;    // in the session itself
  size_t shared = 0;  // in blocks that other sessions of the engine computed
  size_t stored = 0;  // in the store
  Status store = {};  // an error of the store in reading or writing blocks of the prompt

  size_t total() const { return held + shared + stored; }
};

// The full blocks of a session, by what became of them.
struct Remembered {
  size_t num_stored = 0;  // in the store
  // Without a name by which others could find them: the routing or the recalled blocks changed within the
  // session, or its namespace was erased.
  size_t num_unnamed = 0;
};

// One sequence of tokens with its keys and values. Logits do not depend, bit for bit, on how the tokens were
// divided into calls.
class Session {
 public:
  // Keys and values are shared and stored within `name_space` only. `engine` must outlive the session.
  explicit Session(InferenceEngine& engine, std::string name_space = "default");
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Sets the routing of the tokens to come; the default is the engine's routing(). Errors of
  // InferenceEngine::CheckRouting.
  Status SetRouting(const RoutingPolicy& policy);
  const RoutingPolicy& routing() const { return policy_; }
  // Sets the adapters of the tokens to come, which must be the first ones; the default is the engine's
  // adapters(). Null or an empty set: none. kInvalidArgument if they do not fit the model, or if blocks are
  // recalled, which were computed with the engine's.
  // Keys and values are shared and stored among sessions with the same adapters only.
  Status SetAdapters(std::shared_ptr<const AdapterSet> adapters);
  // Null: none.
  const std::shared_ptr<const AdapterSet>& adapters() const { return adapters_; }
  // [layers] Counts since the last ResetRoutingCounts; empty if the engine keeps no summaries.
  std::span<const RoutingCounts> routing_counts() const { return {routing_counts_.get(), routing_.size()}; }
  void ResetRoutingCounts();
  // Records in `trace` which blocks the tokens to come read; null: off. It must have room for all tokens of
  // the session. Has no effect if the engine keeps no summaries.
  void SetRoutingTrace(RoutingTrace* trace);

  // From now on the router may also choose these blocks. The session must have no tokens yet, its engine a
  // recall window, and the adapters must be the engine's; `recalled` must outlive the session. An error of
  // the pool of summaries leaves the session as it was.
  Status Recall(const RecalledBlocks& recalled);

  // Called before each chunk of a prompt with the number of tokens done; returning false stops (kCancelled).
  using Progress = std::function<bool(size_t num_done)>;

  // The most tokens whose logits can be kept.
  static constexpr size_t kMaxLogitRows = 256;

  // Appends tokens, such as a prompt or the token just drawn, and keeps the logits of the last
  // `num_logit_rows` (0 to kMaxLogitRows, at most the number of tokens).
  //
  // kInvalidArgument if there are no tokens, the context would overflow or a token is outside the vocabulary;
  // errors of BlockPool::Take; kCancelled. The session and its logits are then as before. After an error of
  // the pass (see error()), the session is as before, but without logits.
  Status Append(std::span<const int32_t> tokens, const Progress& progress = nullptr,
                size_t num_logit_rows = 1);
  // Makes the session hold exactly `tokens`, with the logits of the last one. Keeps the tokens at the
  // beginning that agree, takes further blocks from other sessions of the engine or from its store if they
  // hold the same tokens, and computes the rest. Errors as Append; the session then keeps a beginning of
  // `tokens`. With a store, a long prompt is stored while it is read (RememberLater), so that stopping loses
  // little of it.
  Result<PrefixReuse> HoldExactly(std::span<const int32_t> tokens, const Progress& progress = nullptr);
  // The first part of HoldExactly: keeps what agrees and takes blocks that are known. The caller appends the
  // rest of `tokens`, at least one token. Errors as HoldExactly.
  Result<PrefixReuse> Reuse(std::span<const int32_t> tokens);
  // Shares all full blocks with other sessions. False if they have no names (Remembered::num_unnamed).
  bool Publish();
  // Shares all full blocks that have names with other sessions and, if the engine has a store, waits until it
  // has stored them: after OK, num_stored blocks survive the end of the process. Errors of BlockStore::Put.
  Result<Remembered> Remember();
  // Hands the same blocks to the engine's writer as far as its queue has room, without waiting. Returns the
  // error of an earlier hand-over once; those blocks are tried again.
  Status RememberLater();

  // The error of the last forward pass: the model's numbers were not finite (kCorrupt), or spilled or
  // recalled blocks could not be read (kIo). The tokens of the call were then not appended, and there are no
  // logits.
  const Status& error() const { return error_; }
  // [vocab_size] Logits of the last token; the caller may overwrite them. Empty before the first Append and
  // after one that kept none.
  std::span<float> logits() {
    return num_logit_rows_ == 0 ? std::span<float>() : logits(num_logit_rows_ - 1);
  }
  // [vocab_size] Logits of token `row` among those whose logits the last Append kept, the first being 0.
  std::span<float> logits(size_t row);
  // Every token so far.
  std::span<const int32_t> tokens() const { return tokens_; }
  // The pool's blocks that hold the keys and values of these tokens.
  const BlockList& blocks() const { return blocks_; }
  // The parent of the first block's name (memory/block_id.h).
  const Hash128& names_begin() const { return names_begin_; }
  // Tokens that may still be appended before the context is full.
  size_t room() const { return engine_.max_context_tokens() - tokens_.size(); }
  // Forgets all but the first `num_tokens` tokens. There are no logits until the next Append.
  void Truncate(size_t num_tokens);

 private:
  friend Status AppendTogether(InferenceEngine& engine, std::span<const SessionTokens> parts);

  // Checks that the tokens may be appended, and reserves room for them.
  Status Prepare(std::span<const int32_t> tokens);
  Status Reserve(size_t num_tokens);
  // Appends tokens, for which there must be room, and returns their part in the pass, without logits.
  SequenceRows TakeTokens(std::span<const int32_t> tokens);
  // Makes room for the logits of the next pass: [num_rows, vocab_size].
  std::span<float> NewLogits(size_t num_rows);
  // Takes the error of the pass; if there is one, forgets all but the first `old_count` tokens.
  Status CheckPass(const SequenceRows& rows, size_t old_count);
  // Truncate, but the logits stay.
  void RollBack(size_t num_tokens);
  void ReleaseUnusedBlocks();
  // Appends known blocks of `tokens` after the tokens that agree (session_memory.cc).
  Status Adopt(std::span<const int32_t> tokens, PrefixReuse& reuse);
  Result<std::optional<BlockPool::BlockId>> FindBlock(const Hash128& name, std::span<const int32_t> tokens,
                                                      PrefixReuse& reuse);
  Status Summarize(size_t first_block, size_t end_block);
  SequenceKv Kv(size_t layer) const;
  size_t num_recalled() const {
    return recalled_ == nullptr ? 0 : recalled_->size();
  }  // places before the session's own blocks
  size_t NumSuperPanels(size_t num_panels) const;
  // The format of blocks in the store.
  BlockFormat block_format() const { return engine_.BlockFormatOf(adapters_.get()); }
  Hash128 NamesBegin() const;  // names_begin_ for tokens computed from now on
  void NoteNames();            // called before tokens are added: can the blocks still have names?
  void SummarizeRecalled();
  // Queues named blocks for writing that are not queued yet. Without `waits`: as far as the queue has room.
  void QueueBlocks(bool waits);
  // Counts queued blocks that were written; with `waits`, waits for all. After the first error, the blocks
  // from there on are no longer queued.
  Status SettleBlocks(bool waits);
  std::span<const int32_t> TokensOf(size_t block) const {
    return std::span(tokens_).subspan(block * kBlockTokens, kBlockTokens);
  }

  InferenceEngine& engine_;
  const std::string name_space_;
  const Hash128 name_space_hash_;
  const RecalledBlocks* recalled_ = nullptr;
  RoutingPolicy policy_;
  std::shared_ptr<const AdapterSet> adapters_;
  Hash128 settings_name_;                            // SettingsName(policy_, adapters_)
  std::unique_ptr<RoutingCounts[]> routing_counts_;  // [layers]
  std::vector<LayerRouting> routing_;                // [layers]; empty if the engine keeps no summaries
  RoutingTrace* routing_trace_ = nullptr;
  Hash128 names_begin_;         // NamesBegin() when the first token was added
  bool has_names_ = true;       // false: no names for further blocks, since NamesBegin() has changed
  std::vector<Hash128> names_;  // of the first full blocks
  size_t num_stored_ = 0;       // first blocks that are known to be in the store
  // Batches of the next blocks that are being written, each up to block `end`, in order.
  struct QueuedBlocks {
    size_t end;
    BlockWriter::Written written;
  };
  std::deque<QueuedBlocks> queued_;
  uint64_t num_erasures_ = 0;      // of the namespace, when the first token was added
  uint64_t recalled_version_ = 0;  // RecalledBlocks::version() that the super panels were made from
  std::vector<int32_t> tokens_;
  BlockList blocks_, panels_, super_panels_;
  std::vector<SequenceKv> kv_;  // [layers] for the current pass
  Status error_;
  std::vector<float> logits_;  // [num_logit_rows_, vocab_size]
  size_t num_logit_rows_ = 0;
};

}  // namespace qwen25

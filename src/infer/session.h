// A conversation with a model, in tokens.
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

// What one forward pass appends to one session: a chunk of a prompt, or the token just drawn.
struct SessionTokens {
  Session* session;
  std::span<const int32_t> tokens;  // at least one
  size_t num_logit_rows = 1;        // of the last tokens, as many as logits are kept of; 0: none
};

// Appends to several sessions of one engine, each at most once, in one forward pass: the weights are read
// once for all. Every session gets the bits that it would get alone. Checks as Session::Append does, before
// anything changes; tokens are not cut into chunks. kInvalidArgument if a session is there twice. kCorrupt
// or kIo is of those sessions whose error() says so: tokens of the others are appended.
Status AppendTogether(InferenceEngine& engine, std::span<const SessionTokens> parts);

// Where the beginning of a prompt came from that did not have to be computed, in tokens.
struct PrefixReuse {
  size_t held = 0;    // by the session itself
  size_t shared = 0;  // by other sessions of the engine
  size_t stored = 0;  // in the store
  Status store = {};  // why the store could not give more, where it should have had it

  size_t total() const { return held + shared + stored; }
};

// What became of the full blocks of a session.
struct Remembered {
  size_t num_stored = 0;  // they are in the store
  // They have no name that others could find them by: they were computed in several ways, since the routing
  // or what is recalled has changed, or their namespace was erased meanwhile.
  size_t num_unnamed = 0;
};

// One sequence of tokens with its keys and values. The logits of a token are bit-identical for any way in
// which the tokens before it were cut into calls.
class Session {
 public:
  // Keys and values are shared, and stored, within `name_space` only.
  explicit Session(InferenceEngine& engine, std::string name_space = "default");
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // How the tokens that follow are routed; the engine's routing() until this is called. Errors of
  // InferenceEngine::CheckRouting.
  Status SetRouting(const RoutingPolicy& policy);
  const RoutingPolicy& routing() const { return policy_; }
  // What routing did in each layer since the last ResetRoutingCounts. Counted if the engine keeps summaries.
  std::span<const RoutingCounts> routing_counts() const { return {routing_counts_.get(), routing_.size()}; }
  void ResetRoutingCounts();
  // Which blocks the tokens that follow read; null: not recorded. It must have room for the session's tokens.
  // Recorded if the engine keeps summaries.
  void SetRoutingTrace(RoutingTrace* trace);

  // From now on attention reads these blocks, too, where the router finds them worth it. The session must
  // have no tokens and its engine a recall window; `recalled` must outlive it. An error of the pool of
  // summaries leaves the session as it was.
  Status Recall(const RecalledBlocks& recalled);

  // Called between chunks of a long prompt with the tokens done so far; returning false stops (kCancelled).
  using Progress = std::function<bool(size_t num_done)>;

  // The most tokens that logits can be kept of.
  static constexpr size_t kMaxLogitRows = 256;

  // Appends tokens: a prompt, or the one token just drawn. Afterwards logits() are those of the last one, and
  // logits(row) those of the last `num_logit_rows` (0 to kMaxLogitRows, and no more than tokens); with 0 rows
  // they are empty. Fails, and leaves the session with its logits as it was, when the context would overflow,
  // a token is outside the vocabulary, blocks cannot be had or `progress` stops it. Numbers that are not
  // finite are an error, too (kCorrupt); the logits are then gone.
  Status Append(std::span<const int32_t> tokens, const Progress& progress = nullptr,
                size_t num_logit_rows = 1);
  // Makes the session hold exactly `tokens`, with logits of the last one: what it holds is kept as far as it
  // agrees, and blocks that follow are taken from other sessions of the engine or from its store where these
  // have the same tokens. Errors as Append, with what agreed left. If there is a store, a long prompt is
  // stored while it is read (RememberLater), so that stopping loses little of it.
  Result<PrefixReuse> HoldExactly(std::span<const int32_t> tokens, const Progress& progress = nullptr);
  // Offers all full blocks that have names to other sessions and, if the engine has a store, waits until all
  // of them are there: when it returns OK, num_stored blocks survive whatever happens to the process. Errors
  // of BlockStore::Put.
  Result<Remembered> Remember();
  // Hands the same blocks to the engine's writer as far as it has room, without waiting. Returns the error of
  // what was handed over earlier, once; those blocks are tried again.
  Status RememberLater();

  // Why the last tokens were not appended, although there was room for them: the model's numbers were not
  // finite (kCorrupt), or spilled blocks cannot be read back (kIo). The session is then as before them,
  // without logits.
  const Status& error() const { return error_; }
  // [vocab_size] of the last token; the caller may overwrite them. Empty before the first Append, and after
  // one that kept none.
  std::span<float> logits() {
    return num_logit_rows_ == 0 ? std::span<float>() : logits(num_logit_rows_ - 1);
  }
  // The same for token `row` of those whose logits the last Append kept.
  std::span<float> logits(size_t row);
  // Every token so far.
  std::span<const int32_t> tokens() const { return tokens_; }
  // The pool's blocks that they are in.
  const BlockList& blocks() const { return blocks_; }
  // What the names of its blocks begin with (memory/block_id.h).
  const Hash128& names_begin() const { return names_begin_; }
  // Tokens that may still be appended, as far as the model goes.
  size_t room() const { return engine_.max_context_tokens() - tokens_.size(); }
  // Forgets what follows the first `num_tokens` tokens. logits() are empty until the next Append.
  void Truncate(size_t num_tokens);

 private:
  friend Status AppendTogether(InferenceEngine& engine, std::span<const SessionTokens> parts);

  // Whether the tokens may be appended, and room for them.
  Status Prepare(std::span<const int32_t> tokens);
  Status Reserve(size_t num_tokens);
  // Takes over tokens for which there is room: what a pass needs to compute them, without logits.
  SequenceRows TakeTokens(std::span<const int32_t> tokens);
  // Room for the logits of the pass to come.
  std::span<float> NewLogits(size_t num_rows);
  // After the pass: forgets the tokens, but for the first `old_count`, if its numbers are not finite.
  Status CheckPass(const SequenceRows& rows, size_t old_count);
  // Forgets what follows the first `num_tokens` tokens; the logits stay.
  void RollBack(size_t num_tokens);
  void ReleaseUnusedBlocks();
  // Takes known blocks of `tokens` after those that agree (session_memory.cc).
  Status Adopt(std::span<const int32_t> tokens, PrefixReuse& reuse);
  Result<std::optional<BlockPool::BlockId>> FindBlock(const Hash128& name, std::span<const int32_t> tokens,
                                                      PrefixReuse& reuse);
  Status Summarize(size_t first_block, size_t end_block);
  SequenceKv Kv(size_t layer) const;
  size_t num_recalled() const { return recalled_ == nullptr ? 0 : recalled_->size(); }  // places in lists
  size_t NumSuperPanels(size_t num_panels) const;
  Hash128 NamesBegin() const;  // of tokens that follow now
  void NoteNames();            // before tokens follow
  void SummarizeRecalled();
  // Names and publishes what has become full. False if blocks have no common name (Remembered::num_unnamed).
  bool Publish();
  // Hands named blocks that are not on their way yet to the writer. Without `waits`: as far as it has room.
  void QueueBlocks(bool waits);
  // Takes note of what was written; waits for all of it, or for nothing. The first error ends it: the blocks
  // from there on are no longer on their way.
  Status SettleBlocks(bool waits);
  std::span<const int32_t> TokensOf(size_t block) const {
    return std::span(tokens_).subspan(block * kBlockTokens, kBlockTokens);
  }

  InferenceEngine& engine_;
  const std::string name_space_;
  const Hash128 name_space_hash_;
  const RecalledBlocks* recalled_ = nullptr;
  RoutingPolicy policy_;
  Hash128 settings_name_;                            // with this policy
  std::unique_ptr<RoutingCounts[]> routing_counts_;  // [layers]
  std::vector<LayerRouting> routing_;                // [layers]; empty where the engine keeps no summaries
  RoutingTrace* routing_trace_ = nullptr;
  Hash128 names_begin_;         // of the tokens that it holds
  bool has_names_ = true;       // false: these were computed in several ways, for which there is no name
  std::vector<Hash128> names_;  // of the first full blocks
  size_t num_stored_ = 0;       // of these, known to be in the store
  // Of these, on their way there: up to block `end`, in order.
  struct QueuedBlocks {
    size_t end;
    BlockWriter::Written written;
  };
  std::deque<QueuedBlocks> queued_;
  uint64_t num_erasures_ = 0;      // of the namespace, when its tokens began
  uint64_t recalled_version_ = 0;  // that the super panels were made of
  std::vector<int32_t> tokens_;
  BlockList blocks_, panels_, super_panels_;
  std::vector<SequenceKv> kv_;  // [layers] of the pass that runs
  Status error_;
  std::vector<float> logits_;  // [num_logit_rows_, vocab_size]
  size_t num_logit_rows_ = 0;
};

}  // namespace qwen25

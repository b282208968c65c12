// Reuse of blocks that other sessions computed, in this engine or in earlier processes.
#include <algorithm>
#include <chrono>

#include "infer/session.h"
#include "memory/block_id.h"

namespace qwen25 {
namespace {

// A long prompt is stored each time this many tokens were read: stopping loses a few seconds of work.
constexpr size_t kStoreEvery = 4096;
// Most blocks of one transaction; bounds its memory and the loss when the process is killed.
constexpr size_t kBlocksPerWrite = 64;

}  // namespace

Hash128 Session::NamesBegin() const {
  const Hash128 of_engine[] = {block_format().fingerprint, settings_name_};
  const Hash128 parts[] = {CombineHashes(of_engine), name_space_hash_,
                           recalled_ == nullptr ? Hash128() : recalled_->name()};
  return CombineHashes(parts);
}

Result<PrefixReuse> Session::Reuse(std::span<const int32_t> tokens) {
  PrefixReuse reuse;
  const auto agree = std::mismatch(tokens_.begin(), tokens_.end(), tokens.begin(), tokens.end());
  // At least one token must be computed, for its logits.
  reuse.held =
      std::min(static_cast<size_t>(agree.second - tokens.begin()), tokens.empty() ? 0 : tokens.size() - 1);
  Truncate(reuse.held);
  // A few tokens are computed faster than they are looked up.
  if (tokens.size() > reuse.held + kBlockTokens) QWEN25_RETURN_IF_ERROR(Adopt(tokens, reuse));
  return reuse;
}

Result<PrefixReuse> Session::HoldExactly(std::span<const int32_t> tokens, const Progress& progress) {
  QWEN25_TRY(PrefixReuse reuse, Reuse(tokens));
  const bool is_long = tokens.size() > reuse.held + kBlockTokens;
  while (true) {
    const size_t done = tokens_.size(), left = tokens.size() - done;
    const size_t count = engine_.store() == nullptr ? left : std::min(left, kStoreEvery);
    const auto show = [&](size_t num_done) { return progress(done - reuse.total() + num_done); };
    QWEN25_RETURN_IF_ERROR(
        Append(tokens.subspan(done, count), progress ? Progress(show) : Progress(nullptr)));
    if (count == left) break;
    // A store that cannot take more must not stop a prompt; the caller gets its error with the result.
    if (const Status status = RememberLater(); !status.ok()) reuse.store = status;
  }
  if (is_long) Publish();
  return reuse;
}

Result<std::optional<BlockPool::BlockId>> Session::FindBlock(const Hash128& name,
                                                             std::span<const int32_t> tokens,
                                                             PrefixReuse& reuse) {
  BlockPool& pool = engine_.blocks();
  if (const auto id = pool.Find(name, tokens)) {
    reuse.shared += tokens.size();
    return id;
  }
  BlockStore* store = engine_.store();
  if (store == nullptr || !store->Contains(name_space_, block_format(), name)) {
    return std::optional<BlockPool::BlockId>();
  }
  QWEN25_TRY(const BlockPool::BlockId id, pool.Take());
  std::vector<std::byte*> layers(pool.num_layers());
  for (size_t layer = 0; layer < layers.size(); ++layer) layers[layer] = pool.Data(id, layer);
  const Status status = store->Read(name_space_, block_format(), name, tokens, layers, {});
  if (!status.ok()) {
    pool.Give(id);
    if (status.code() != StatusCode::kNotFound) reuse.store = status;
    return std::optional<BlockPool::BlockId>();
  }
  pool.Publish(id, name, tokens, name_space_hash_);
  reuse.stored += tokens.size();
  return std::optional(id);
}

Status Session::Adopt(std::span<const int32_t> tokens, PrefixReuse& reuse) {
  if (tokens.empty() || tokens.size() > engine_.max_context_tokens() || !Publish()) return {};
  const size_t first = tokens_.size() / kBlockTokens, end = (tokens.size() - 1) / kBlockTokens;
  for (size_t block = first; block < end; ++block) {
    const std::span<const int32_t> block_tokens = tokens.subspan(block * kBlockTokens, kBlockTokens);
    const Hash128 name = BlockIdOf(block == 0 ? names_begin_ : names_.back(), block_tokens);
    const auto found = FindBlock(name, block_tokens, reuse);
    // If there is no room for more blocks, Append reports it.
    if (!found.ok() || !*found) break;
    if (block == first) {  // the whole block replaces a partly filled one
      Truncate(first * kBlockTokens);
      reuse.held = tokens_.size();
    }
    blocks_.Add(**found);
    tokens_.insert(tokens_.end(), block_tokens.begin(), block_tokens.end());
    names_.push_back(name);
  }
  const Status status = Summarize(first, tokens_.size() / kBlockTokens);
  if (!status.ok()) Truncate(std::min(tokens_.size(), first * kBlockTokens));
  return status;
}

Status Session::Summarize(size_t first_block, size_t end_block) {
  if (first_block >= end_block) return {};
  // Only adds panels: the blocks exist.
  QWEN25_RETURN_IF_ERROR(Reserve(tokens_.size()));
  for (size_t layer = 0; layer < engine_.model().layers.size(); ++layer) {
    engine_.SummarizeBlocks(Kv(layer), num_recalled() + first_block, num_recalled() + end_block);
  }
  return {};
}

Status Session::Recall(const RecalledBlocks& recalled) {
  QWEN25_CHECK(tokens_.empty() && recalled_ == nullptr && engine_.recall_window() > 0);
  QWEN25_CHECK(HashOf(adapters_.get()) == HashOf(engine_.adapters().get()));
  recalled_ = &recalled;
  if (const Status status = super_panels_.Grow(NumSuperPanels(0)); !status.ok()) {
    super_panels_.Shrink(0);
    recalled_ = nullptr;
    return status;
  }
  names_begin_ = NamesBegin();
  const std::vector<std::byte*> places(recalled.size());
  for (size_t layer = 0; layer < engine_.model().layers.size(); ++layer) {
    blocks_.Prepend(layer, places);
    panels_.Prepend(layer, recalled.Panels(layer));
  }
  SummarizeRecalled();
  return {};
}

void Session::SummarizeRecalled() {
  for (size_t layer = 0; layer < engine_.model().layers.size(); ++layer) {
    recalled_->SummarizePanels(layer, super_panels_.Layer(layer));
  }
  recalled_version_ = recalled_->version();
}

void Session::NoteNames() {
  const Hash128 begin = NamesBegin();
  const uint64_t num_erasures = engine_.NoteErasures(name_space_, name_space_hash_);
  if (recalled_ != nullptr && recalled_->version() != recalled_version_) SummarizeRecalled();
  if (tokens_.empty()) {
    names_begin_ = begin;
    num_erasures_ = num_erasures;
    has_names_ = true;
  } else if (num_erasures != num_erasures_) {
    // Blocks computed before the erasure must not be found again.
    has_names_ = false;
    names_.clear();
    queued_.clear();
    num_stored_ = 0;
  } else if (begin != names_begin_) {
    has_names_ = false;
  }
}

bool Session::Publish() {
  NoteNames();
  if (!has_names_) return false;
  for (size_t block = names_.size(); block < tokens_.size() / kBlockTokens; ++block) {
    names_.push_back(BlockIdOf(block == 0 ? names_begin_ : names_.back(), TokensOf(block)));
    engine_.blocks().Publish(blocks_[block], names_.back(), TokensOf(block), name_space_hash_);
  }
  return true;
}

Result<Remembered> Session::Remember() {
  Publish();
  if (engine_.store() != nullptr) {
    QueueBlocks(/*waits=*/true);
    QWEN25_RETURN_IF_ERROR(SettleBlocks(/*waits=*/true));
  }
  return Remembered{.num_stored = num_stored_, .num_unnamed = tokens_.size() / kBlockTokens - names_.size()};
}

Status Session::RememberLater() {
  if (engine_.store() == nullptr) return {};
  Publish();
  const Status status = SettleBlocks(/*waits=*/false);
  QueueBlocks(/*waits=*/false);
  return status;
}

void Session::QueueBlocks(bool waits) {
  const Hash128 fingerprint = block_format().fingerprint;
  std::vector<BlockToWrite> blocks;
  size_t first = queued_.empty() ? num_stored_ : queued_.back().end;
  while (first < names_.size()) {
    const size_t end = std::min(first + kBlocksPerWrite, names_.size());
    blocks.clear();
    for (size_t block = first; block < end; ++block) {
      blocks.push_back({.block = blocks_[block],
                        .id = names_[block],
                        .parent = block == 0 ? Hash128() : names_[block - 1],
                        .position = static_cast<uint32_t>(block),
                        .tokens = TokensOf(block)});
    }
    if (waits) {
      queued_.push_back({end, engine_.writer()->Add(name_space_, blocks, num_erasures_, fingerprint)});
    } else if (auto written = engine_.writer()->TryAdd(name_space_, blocks, num_erasures_, fingerprint)) {
      queued_.push_back({end, *std::move(written)});
    } else {
      return;
    }
    first = end;
  }
}

Status Session::SettleBlocks(bool waits) {
  while (!queued_.empty()) {
    const QueuedBlocks& next = queued_.front();
    if (!waits && next.written.wait_for(std::chrono::seconds(0)) != std::future_status::ready) break;
    if (const Status status = next.written.get(); !status.ok()) {
      queued_.clear();
      return status;
    }
    num_stored_ = next.end;
    queued_.pop_front();
  }
  return {};
}

}  // namespace qwen25

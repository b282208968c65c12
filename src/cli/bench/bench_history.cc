#include "cli/bench/bench_history.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/rng.h"
#include "cli/terminal/interrupt.h"
#include "cli/terminal/show_progress.h"
#include "memory/block_id.h"

namespace qwen25 {
namespace {

// Enough blocks that they are as different as those of a text.
constexpr size_t kComputedTokens = 4096;

// Publishes copies of the computed blocks under the names that later blocks will be looked for.
Status PublishCopies(BlockPool& blocks, const Hash128& names_begin, std::span<const int32_t> tokens,
                     size_t num_computed, uint64_t seed, Progress& progress) {
  Rng rng(seed);
  std::vector<BlockPool::BlockId> originals;
  Hash128 name = names_begin;
  Status status;
  for (size_t i = 0; i < tokens.size() / kBlockTokens; ++i) {
    if (InterruptGuard::requested()) {
      status = Cancelled("stopped after {} of {} tokens of the history", i * kBlockTokens, tokens.size());
      break;
    }
    progress.Update(i * kBlockTokens);
    const std::span<const int32_t> block_tokens = tokens.subspan(i * kBlockTokens, kBlockTokens);
    name = BlockIdOf(name, block_tokens);
    if (i < num_computed) {
      const auto computed = blocks.Find(name, block_tokens);
      QWEN25_CHECK(computed.has_value());
      originals.push_back(*computed);
      continue;
    }
    const auto copy = blocks.Take();
    if (!copy.ok()) {
      status = copy.status();
      break;
    }
    std::memcpy(blocks.Data(*copy, 0), blocks.Data(originals[rng.Below(originals.size())], 0),
                blocks.bytes_per_block());
    blocks.Publish(*copy, name, block_tokens);
    blocks.Give(*copy);
  }
  for (const BlockPool::BlockId id : originals) blocks.Give(id);
  return status;
}

}  // namespace

Status FillHistory(InferenceEngine& engine, Session& session, std::span<const int32_t> tokens,
                   uint64_t seed) {
  const size_t computed = std::min(kComputedTokens, tokens.size());
  Progress progress("filling", "tokens", tokens.size());
  const Session::Progress goes_on = ShowUntilInterrupt(progress);
  QWEN25_RETURN_IF_ERROR(session.Append(tokens.first(computed), goes_on));
  if (computed == tokens.size()) return {};
  QWEN25_RETURN_IF_ERROR(session.Remember().status());  // publishes
  QWEN25_RETURN_IF_ERROR(
      PublishCopies(engine.blocks(), session.names_begin(), tokens, computed / kBlockTokens, seed, progress));
  return session.HoldExactly(tokens, goes_on).status();
}

}  // namespace qwen25

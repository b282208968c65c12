#include "infer/passages.h"

#include <algorithm>
#include <deque>
#include <string>
#include <unordered_set>

#include "infer/session.h"
#include "memory/block_id.h"

namespace qwen25 {
namespace {

// Most tokens of a piece, and of the pieces that share a forward pass.
constexpr size_t kMaxTokens = 512;

// A part of a passage, computed as a sequence of its own.
struct Piece {
  size_t passage;               // index in `wanted`
  size_t position;              // of its first block, in blocks of the passage
  size_t num_tokens;            // without the repetition that fills the last block
  std::vector<int32_t> tokens;  // whole blocks
  std::vector<Hash128> ids;     // of these blocks
};

class PassageSync {
 public:
  PassageSync(InferenceEngine& engine, std::string_view name_space, std::span<const Passage> wanted)
      : engine_(engine), store_(*engine.store()), name_space_(name_space), wanted_(wanted) {
    const size_t limit = engine.recall_window() > 0 ? engine.recall_window() : engine.max_context_tokens();
    max_tokens_ = std::min(kMaxTokens, limit / kBlockTokens * kBlockTokens);
  }

  Result<PassageReport> Run(const std::function<bool(size_t done, size_t total)>& progress) {
    if (max_tokens_ == 0) {
      return InvalidArgument("a context of {} tokens is too short for passages, expected at least {}",
                             engine_.max_context_tokens(), kBlockTokens);
    }
    for (size_t i = 0; i < wanted_.size(); ++i) {
      names_.insert(wanted_[i].name);
      CutUp(i);
    }
    // Blocks of other formats stay as long as their passage is wanted.
    const auto unwanted = [&](const BlockFormat& format, const Hash128& passage, const Hash128& id) {
      return format == engine_.block_format() ? !ids_.contains(id) : !names_.contains(passage);
    };
    PassageReport report;
    QWEN25_TRY(report.num_removed_blocks, store_.RemovePassages(name_space_, unwanted, /*erase=*/false));
    const std::vector<bool> known = WhollyStored();
    report.num_known = static_cast<size_t>(std::ranges::count(known, true));
    report.status = ComputeAll(known, progress);
    if (report.status.code() == StatusCode::kInvalidArgument) return report.status;
    // Asked again, since a known passage may have been evicted to make room for others.
    report.is_stored = WhollyStored();
    for (size_t i = 0; i < known.size(); ++i) report.num_computed += report.is_stored[i] && !known[i];
    return report;
  }

 private:
  void CutUp(size_t index) {
    const Passage& passage = wanted_[index];
    size_t position = 0;
    for (size_t begin = 0; begin < passage.tokens.size(); begin += max_tokens_) {
      const size_t count = std::min(max_tokens_, passage.tokens.size() - begin);
      Piece piece = {.passage = index, .position = position, .num_tokens = count, .tokens = {}, .ids = {}};
      const size_t num_blocks = (count + kBlockTokens - 1) / kBlockTokens;
      for (size_t i = 0; i < num_blocks * kBlockTokens; ++i) {
        piece.tokens.push_back(passage.tokens[begin + i % count]);
      }
      const Hash128 parts[] = {engine_.block_format().fingerprint,
                               HashBytes128(std::as_bytes(std::span(name_space_))), passage.name,
                               Hash128{.low = position}};
      for (size_t block = 0; block < num_blocks; ++block) {
        piece.ids.push_back(BlockIdOf(block == 0 ? CombineHashes(parts) : piece.ids.back(),
                                      std::span(piece.tokens).subspan(block * kBlockTokens, kBlockTokens)));
      }
      position += num_blocks;
      ids_.insert(piece.ids.begin(), piece.ids.end());
      pieces_.push_back(std::move(piece));
    }
  }

  // For each passage, whether all its blocks are in the store.
  std::vector<bool> WhollyStored() const {
    std::vector<bool> stored(wanted_.size(), true);
    for (const Piece& piece : pieces_) {
      const bool whole = std::ranges::all_of(piece.ids, [&](const Hash128& id) {
        return store_.Contains(name_space_, engine_.block_format(), id);
      });
      if (!whole) stored[piece.passage] = false;
    }
    return stored;
  }

  Status ComputeAll(const std::vector<bool>& known,
                    const std::function<bool(size_t done, size_t total)>& progress) {
    const auto total = static_cast<size_t>(std::ranges::count(known, false));
    std::vector<const Piece*> missing;
    for (const Piece& piece : pieces_) {
      if (!known[piece.passage]) missing.push_back(&piece);
    }
    for (size_t first = 0, done = 0; first < missing.size();) {
      if (progress && !progress(done, total)) {
        return Cancelled("stopped after {} of {} passages, which are stored", done, total);
      }
      size_t end = first, tokens = 0;
      for (; end < missing.size() && tokens + missing[end]->tokens.size() <= kMaxTokens; ++end) {
        tokens += missing[end]->tokens.size();
        // A passage is done with its last piece.
        done += end + 1 == missing.size() || missing[end + 1]->passage != missing[end]->passage;
      }
      QWEN25_RETURN_IF_ERROR(Compute(std::span(missing).subspan(first, end - first)));
      first = end;
    }
    if (progress && total > 0) progress(total, total);
    return {};
  }

  // Computes pieces in one forward pass and stores them in one transaction.
  Status Compute(std::span<const Piece* const> pieces) {
    std::deque<Session> sessions;
    std::vector<SessionTokens> parts;
    // Dense attention within a piece.
    RoutingPolicy policy = engine_.routing();
    policy.dense_below = std::max(policy.dense_below, static_cast<uint32_t>(max_tokens_));
    for (const Piece* piece : pieces) {
      Session& session = sessions.emplace_back(engine_, name_space_);
      QWEN25_RETURN_IF_ERROR(session.SetRouting(policy));
      parts.push_back({&session, piece->tokens, 0});
    }
    QWEN25_RETURN_IF_ERROR(AppendTogether(engine_, parts));
    std::vector<BlockToWrite> blocks;
    for (size_t i = 0; i < pieces.size(); ++i) {
      const Piece& piece = *pieces[i];
      for (size_t block = 0; block < piece.ids.size(); ++block) {
        const size_t begin = block * kBlockTokens;
        const size_t count = std::min(kBlockTokens, piece.num_tokens - begin);
        blocks.push_back({.block = sessions[i].blocks()[block],
                          .id = piece.ids[block],
                          .parent = wanted_[piece.passage].name,
                          .position = PassagePosition(piece.position + block, count),
                          .tokens = std::span(piece.tokens).subspan(begin, kBlockTokens)});
      }
    }
    const BlockWriter::Written written = engine_.writer()->Add(name_space_, blocks, num_erasures_);
    // Dropped before they get names: a note that is forgotten must not stay in the pool.
    for (Session& session : sessions) session.Truncate(0);
    return written.get();
  }

  InferenceEngine& engine_;
  BlockStore& store_;
  const std::string name_space_;
  const std::span<const Passage> wanted_;
  const uint64_t num_erasures_ = store_.NumErasures(name_space_);
  size_t max_tokens_;
  std::vector<Piece> pieces_;
  std::unordered_set<Hash128, Hash128Hasher> names_, ids_;  // of the wanted passages and of their blocks
};

}  // namespace

Result<PassageReport> SyncPassages(InferenceEngine& engine, std::string_view name_space,
                                   std::span<const Passage> wanted,
                                   const std::function<bool(size_t done, size_t total)>& progress) {
  QWEN25_CHECK(engine.store() != nullptr);
  return PassageSync(engine, name_space, wanted).Run(progress);
}

}  // namespace qwen25

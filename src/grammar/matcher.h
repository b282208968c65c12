// Follows one text, token by token, and says which tokens may come next.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/status.h"
#include "grammar/grammar.h"
#include "grammar/key_tracker.h"
#include "grammar/state_pool.h"
#include "grammar/token_trie.h"

namespace qwen25 {

// There is always a way on: from every state that accepted tokens lead to, the text can be ended. Not
// thread-safe; copies share working memory, so all copies of one matcher belong to one thread at a time.
class GrammarMatcher {
 public:
  // `end_tokens` end the text where the grammar lets it end; there must be one. kInvalidArgument if not, if
  // one is outside of the vocabulary, and if the grammar needs bytes that are no tokens by themselves: only
  // those guarantee that every text can be written.
  static Result<GrammarMatcher> Create(std::shared_ptr<const Grammar> grammar,
                                       std::shared_ptr<const TokenTrie> trie,
                                       std::vector<int32_t> end_tokens);

  // Sets bit `token % 64` of bits[token / 64] for the tokens that may come next and clears all other bits;
  // never leaves all of them clear. At least vocab_size bits. Once the text has ended, only end tokens may
  // come.
  void FillMask(std::span<uint64_t> bits);
  // Whether `token` may come next; if so, it is taken. Any id may be asked about.
  bool Accept(int32_t token);
  // Takes back the last `num_tokens` tokens, of which there must have been that many.
  void Rollback(size_t num_tokens);

  size_t num_tokens() const { return history_.size() - 1; }
  // Whether an end token may come next.
  bool MayEnd() const;
  // Whether an end token has been accepted.
  bool HasEnded() const { return history_.back().has_ended; }
  // The bytes that must follow, as far as there is one way on, but at most kMaxForcedBytes. They may end
  // within a character.
  std::string ForcedText();

  static constexpr size_t kMaxForcedBytes = 4096;

 private:
  struct Moment {
    grammar::StateId state;
    bool has_ended = false;
    grammar::KeyTracker::Position position;
    grammar::KeyTracker::Mark mark;
  };
  // What copies share: all of it can be computed again.
  struct Shared {
    explicit Shared(const grammar::GrammarTables& tables) : pool(tables) {}
    grammar::StatePool pool;
    size_t max_pool_bytes = size_t{32} << 20;  // what is over it is forgotten
    std::unordered_map<grammar::StateId, std::vector<uint64_t>> masks;
  };

  GrammarMatcher() = default;

  void LimitMemory();
  // The tokens that the grammar allows, duplicate keys aside.
  const std::vector<uint64_t>& GrammarMask(grammar::StateId state);
  // Sets the bits of the plain tokens that `state` is known to allow. Whether all others among them are known
  // to be not allowed.
  bool AddPlainTokens(grammar::StateId state, std::span<uint64_t> bits);
  void RemoveRepeatedKeys(std::span<uint64_t> bits);
  void RemoveKey(std::string_view rest, std::span<uint64_t> bits);
  void RemoveExhaustedKeys(std::span<uint64_t> bits);
  bool MayFollow(uint32_t state, std::string_view key) const;
  bool KeyCanEnd(grammar::StateId state, const grammar::KeyTracker::Position& position) const;

  std::shared_ptr<const grammar::GrammarTables> tables_;
  std::shared_ptr<const TokenTrie> trie_;
  std::vector<int32_t> end_tokens_;
  std::shared_ptr<Shared> shared_;
  bool has_few_keys_ = false;  // some key may have few ways to end
  grammar::KeyTracker keys_;
  std::vector<Moment> history_;
};

}  // namespace qwen25

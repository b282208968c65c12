#include "serve/models/grammar_cache.h"

namespace qwen25 {

Result<Grammar::Pointer> GrammarCache::Get(const std::string& name,
                                           const std::function<Result<Grammar::Pointer>()>& compile) {
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = by_name_.find(name); found != by_name_.end()) {
      entries_.splice(entries_.begin(), entries_, found->second);
      return found->second->grammar;
    }
  }
  QWEN25_TRY(Grammar::Pointer grammar, compile());  // without the lock: it may take long
  const std::lock_guard lock(mutex_);
  if (by_name_.contains(name)) return grammar;
  entries_.push_front({name, grammar});
  by_name_[name] = entries_.begin();
  if (entries_.size() > max_grammars_) {
    by_name_.erase(entries_.back().name);
    entries_.pop_back();
  }
  return grammar;
}

std::shared_ptr<const TokenTrie> GrammarCache::Trie() {
  std::call_once(made_trie_, [&] { trie_ = std::make_shared<TokenTrie>(tokenizer_); });
  return trie_;
}

}  // namespace qwen25

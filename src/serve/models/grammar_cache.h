// Compiled grammars of a model's requests.
#pragma once

#include <cstddef>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include "grammar/grammar.h"
#include "grammar/token_trie.h"

namespace qwen25 {

// Keeps the grammars that were used last, since clients send the same schema again and again. Thread-safe.
class GrammarCache {
 public:
  // At most `max_grammars`, at least 1.
  explicit GrammarCache(const Tokenizer& tokenizer, size_t max_grammars = 64)
      : tokenizer_(tokenizer), max_grammars_(max_grammars) {}

  // The grammar called `name`, which is compiled if it is not there. Errors of `compile`, which are not kept.
  Result<Grammar::Pointer> Get(const std::string& name,
                               const std::function<Result<Grammar::Pointer>()>& compile);
  // The tokens of the model, made when they are first needed.
  std::shared_ptr<const TokenTrie> Trie();

 private:
  struct Entry {
    std::string name;
    Grammar::Pointer grammar;
  };

  const Tokenizer& tokenizer_;
  const size_t max_grammars_;
  std::mutex mutex_;
  std::list<Entry> entries_;  // used last first
  std::unordered_map<std::string, std::list<Entry>::iterator> by_name_;
  std::once_flag made_trie_;
  std::shared_ptr<const TokenTrie> trie_;
};

}  // namespace qwen25

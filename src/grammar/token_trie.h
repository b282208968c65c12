// The texts of a vocabulary as a trie, laid out so that all tokens that a grammar allows are found in one
// pass.
#pragma once

#include <bitset>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"

namespace qwen25 {

// Immutable; safe to use from many threads at once.
class TokenTrie {
 public:
  struct Node {
    uint8_t byte;
    uint8_t depth;          // bytes before this one; longer tokens than 255 bytes are left out
    int32_t token;          // that ends here, or -1
    uint32_t subtree_size;  // nodes, this one included
  };

  // Tokens whose text is empty are never allowed.
  explicit TokenTrie(std::span<const std::string> token_texts);
  // Without special tokens, which are never text.
  explicit TokenTrie(const Tokenizer& tokenizer);

  size_t vocab_size() const { return texts_.size(); }
  std::string_view text(int32_t token) const { return texts_[static_cast<size_t>(token)]; }

  // Depth first, siblings in the order of their bytes. Tokens of the same text have nodes of their own.
  std::span<const Node> nodes() const { return nodes_; }
  // The same without the plain tokens. Plain are tokens of whole characters, at most kMaxPlainCharacters,
  // none of them a quote, a backslash or a control character: what stands in JSON strings as it is. All of
  // their bytes are among bytes().
  std::span<const Node> nodes_that_are_not_plain() const { return not_plain_nodes_; }
  // Masks of the plain tokens with at most `num_characters` code points.
  std::span<const uint64_t> PlainTokens(uint32_t num_characters) const;
  // Tokens with two quotes or more: they may hold a whole key.
  std::span<const int32_t> tokens_with_quotes() const { return tokens_with_quotes_; }
  // The bytes that are tokens by themselves.
  const std::bitset<256>& bytes() const { return bytes_; }

  static constexpr uint32_t kMaxPlainCharacters = 32;

 private:
  void Build();

  std::vector<std::string> texts_;
  std::vector<Node> nodes_, not_plain_nodes_;
  std::vector<std::vector<uint64_t>> plain_tokens_;  // by number of characters
  std::vector<int32_t> tokens_with_quotes_;
  std::bitset<256> bytes_;
};

}  // namespace qwen25

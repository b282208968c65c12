#include "grammar/token_trie.h"

#include <algorithm>

#include "text/utf8.h"

namespace qwen25 {
namespace {

constexpr size_t kMaxTextBytes = 255;

// The number of code points of a plain token; 0 if it is not plain.
uint32_t CountPlainCharacters(std::string_view text) {
  uint32_t count = 0;
  for (const char* p = text.data(); p != text.data() + text.size(); ++count) {
    const DecodedCodePoint c = DecodeCodePoint(p, text.data() + text.size());
    if (!c.valid || c.code_point < 0x20 || c.code_point == '"' || c.code_point == '\\') return 0;
    p += c.bytes;
  }
  return count <= TokenTrie::kMaxPlainCharacters ? count : 0;
}

// The trie of `tokens`, which are sorted by their texts.
std::vector<TokenTrie::Node> BuildNodes(std::span<const std::string> texts, std::span<const int32_t> tokens) {
  std::vector<TokenTrie::Node> nodes;
  std::vector<size_t> path;  // nodes from the root to the last one
  std::string_view before;
  const auto close = [&](size_t depth) {
    for (; path.size() > depth; path.pop_back()) {
      nodes[path.back()].subtree_size = static_cast<uint32_t>(nodes.size() - path.back());
    }
  };
  for (const int32_t token : tokens) {
    const std::string_view text = texts[static_cast<size_t>(token)];
    const size_t shared = static_cast<size_t>(std::ranges::mismatch(before, text).in1 - before.begin());
    // A repeated text shares all but its last byte.
    close(std::min(shared, text.size() - 1));
    for (size_t depth = path.size(); depth < text.size(); ++depth) {
      path.push_back(nodes.size());
      nodes.push_back({static_cast<uint8_t>(text[depth]), static_cast<uint8_t>(depth), -1, 0});
    }
    nodes.back().token = token;
    before = text;
  }
  close(0);
  return nodes;
}

std::vector<std::string> TextsOf(const Tokenizer& tokenizer) {
  std::vector<std::string> texts(tokenizer.vocab_size());
  for (size_t id = 0; id < texts.size(); ++id) {
    const auto token = static_cast<int32_t>(id);
    if (!tokenizer.IsSpecial(token)) texts[id] = tokenizer.TokenBytes(token);
  }
  return texts;
}

}  // namespace

TokenTrie::TokenTrie(std::span<const std::string> token_texts)
    : texts_(token_texts.begin(), token_texts.end()) {
  Build();
}

TokenTrie::TokenTrie(const Tokenizer& tokenizer) : texts_(TextsOf(tokenizer)) {
  Build();
}

void TokenTrie::Build() {
  std::vector<int32_t> tokens;
  for (size_t id = 0; id < texts_.size(); ++id) {
    if (texts_[id].size() > kMaxTextBytes) texts_[id].clear();
    if (!texts_[id].empty()) tokens.push_back(static_cast<int32_t>(id));
  }
  std::ranges::sort(tokens, [&](int32_t a, int32_t b) {
    const int order = text(a).compare(text(b));
    return order != 0 ? order < 0 : a < b;
  });
  nodes_ = BuildNodes(texts_, tokens);
  plain_tokens_.assign(kMaxPlainCharacters + 1, std::vector<uint64_t>((texts_.size() + 63) / 64));
  std::vector<int32_t> not_plain;
  for (const int32_t token : tokens) {
    if (text(token).size() == 1) bytes_.set(static_cast<uint8_t>(text(token)[0]));
  }
  for (const int32_t token : tokens) {
    const std::string_view bytes = text(token);
    if (std::ranges::count(bytes, '"') >= 2) tokens_with_quotes_.push_back(token);
    const bool is_usable =
        std::ranges::all_of(bytes, [&](char c) { return bytes_[static_cast<uint8_t>(c)]; });
    const uint32_t num_characters = is_usable ? CountPlainCharacters(bytes) : 0;
    if (num_characters == 0) not_plain.push_back(token);
    if (num_characters == 0) continue;
    for (uint32_t most = num_characters; most <= kMaxPlainCharacters; ++most) {
      plain_tokens_[most][static_cast<size_t>(token) / 64] |= uint64_t{1} << (token % 64);
    }
  }
  not_plain_nodes_ = BuildNodes(texts_, not_plain);
}

std::span<const uint64_t> TokenTrie::PlainTokens(uint32_t num_characters) const {
  return plain_tokens_[std::min(num_characters, kMaxPlainCharacters)];
}

}  // namespace qwen25

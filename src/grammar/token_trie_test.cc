#include "grammar/token_trie.h"

#include <gtest/gtest.h>

namespace qwen25 {
namespace {

TEST(TokenTrieTest, HoldsEveryTextDepthFirst) {
  const std::vector<std::string> texts = {"b", "", "ab", "a", "ab", "abc", "\"", "b\""};
  const TokenTrie trie(texts);
  std::vector<std::pair<int32_t, std::string>> found;
  std::string path;
  for (const TokenTrie::Node& node : trie.nodes()) {
    path.resize(node.depth);
    path += static_cast<char>(node.byte);
    if (node.token >= 0) found.emplace_back(node.token, path);
  }
  const std::vector<std::pair<int32_t, std::string>> expected = {{6, "\""},  {3, "a"}, {2, "ab"}, {4, "ab"},
                                                                 {5, "abc"}, {0, "b"}, {7, "b\""}};
  EXPECT_EQ(found, expected);
  EXPECT_EQ(trie.nodes()[0].subtree_size, 1u);
  EXPECT_EQ(trie.nodes()[1].subtree_size, 4u);  // a, ab, ab again, abc
  EXPECT_EQ(trie.bytes().count(), 3u);
}

TEST(TokenTrieTest, PlainTokensAreCountedInCharacters) {
  // Bytes first, so that all of them are usable.
  std::vector<std::string> texts;
  for (int byte = 0; byte < 256; ++byte) texts.emplace_back(1, static_cast<char>(byte));
  const auto add = [&](std::string text) {
    texts.push_back(std::move(text));
    return texts.size() - 1;
  };
  const size_t two = add("\xC3\xA9\xE2\x82\xAC"), quote = add("a\""), cut = add("a\xC3"), slash = add("\\n"),
               line = add("\n\n"), quotes = add("\":\""), long_text = add(std::string(33, 'x'));
  const TokenTrie trie(texts);
  const auto is_plain = [&](size_t token, uint32_t most) {
    return trie.PlainTokens(most)[token / 64] >> (token % 64) & 1;
  };
  EXPECT_FALSE(is_plain(two, 1));
  EXPECT_TRUE(is_plain(two, 2));
  EXPECT_TRUE(is_plain(two, UINT32_MAX));
  EXPECT_TRUE(is_plain('a', 1));
  EXPECT_FALSE(is_plain('a', 0));
  for (const size_t token : {quote, cut, slash, line, quotes, long_text, size_t{'"'}, size_t{0xC3}}) {
    EXPECT_FALSE(is_plain(token, UINT32_MAX)) << token;
  }
  EXPECT_EQ(trie.tokens_with_quotes().size(), 1u);
}

}  // namespace
}  // namespace qwen25

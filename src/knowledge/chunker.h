// Documents in pieces that an embedding can stand for and a prompt can hold.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

namespace qwen25 {

struct ChunkOptions {
  size_t max_tokens = 300;     // by EstimateTokens
  size_t overlap_tokens = 40;  // whole sentences of the piece before that the next one repeats, at most
};

// Bytes [begin, end) of the text.
struct TextRange {
  size_t begin = 0;
  size_t end = 0;

  friend bool operator==(const TextRange&, const TextRange&) = default;
};

// About as many tokens as a byte-level BPE makes of it: four bytes of Latin script a token, one and a half
// characters of Han, Kana or Thai.
size_t EstimateTokens(std::string_view text);

// The sentences, by ICU's rules for all languages, and blank lines end them, too. They cover the text; white
// space belongs to the sentence before it.
std::vector<TextRange> SentencesOf(std::string_view text);

// Pieces of at most max_tokens that cover the whole text, in order; neighbours may overlap. A piece ends at
// the end of a paragraph if one is near (after half of its room), else of a sentence, else of a word;
// never inside a character. A text that fits is one piece; an empty one none.
std::vector<TextRange> ChunkText(std::string_view text, const ChunkOptions& options = {});

}  // namespace qwen25

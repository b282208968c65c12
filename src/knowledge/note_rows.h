// What the rows of the notes' tables hold. Included by the parts of NoteStore alone.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace qwen25 {

// Texts handed to an embedder at a time.
inline constexpr size_t kEmbedBatch = 64;

// The options of every full-text table. Contentless: the terms are made again from the chunk. Terms come
// ready, so that the tokenizer only splits at spaces.
inline constexpr const char* kWordsOptions =
    "terms, content='', tokenize=\"unicode61 remove_diacritics 0 categories 'L* M* N* P* S* Co'\"";
// The statement that makes the full-text table of a namespace, and the view of its vocabulary.
std::string CreateWordsTable(int64_t name_space);
// The terms of a chunk as that table takes them.
std::string JoinedTerms(std::string_view text);

// float16: half the bytes, and the cosine of unit vectors keeps three digits.
std::vector<uint16_t> EncodeVector(std::span<const float> vector);
// What `embeddings.sum` holds.
int64_t VectorSum(int64_t chunk, std::span<const std::byte> encoded);

std::array<std::byte, 16> ContentHash(std::string_view text);
int64_t NowMilliseconds();

}  // namespace qwen25

// The contents of rows in the notes' tables. Only the parts of NoteStore, and what shows chunks as it does,
// include this.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace qwen25 {

// Texts per call of an embedder.
inline constexpr size_t kEmbedBatch = 64;

// The options of every full-text table. It is contentless, since terms can be made again from the chunk; and
// its tokenizer only splits at spaces, since terms are prepared.
inline constexpr const char* kWordsOptions =
    "terms, content='', tokenize=\"unicode61 remove_diacritics 0 categories 'L* M* N* P* S* Co'\"";
// The SQL that creates a namespace's full-text table and the fts5vocab table of its vocabulary.
std::string CreateWordsTable(int64_t name_space);
// A chunk's text as it is indexed, embedded and shown: behind its speaker, if it has one ("Ann: I do.").
std::string SaidText(std::string_view speaker, std::string_view text);
// The IndexTermsOf SaidText, joined by spaces, as that table takes them.
std::string JoinedTerms(std::string_view speaker, std::string_view text);

// To float16: half the bytes, and the cosine of unit vectors keeps three digits.
std::vector<uint16_t> EncodeVector(std::span<const float> vector);
// The checksum in `embeddings.sum`: of the vector's bytes, with the chunk's id as the seed.
int64_t VectorSum(int64_t chunk, std::span<const std::byte> encoded);

std::array<std::byte, 16> ContentHash(std::string_view text);
int64_t NowMilliseconds();

}  // namespace qwen25

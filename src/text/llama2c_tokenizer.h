// The tokenizer.bin of llama2.c (tok512.bin, tokenizer32k.bin): a sentencepiece vocabulary with scores.
//
//   i32 max_token_length | per id: f32 score, i32 length, bytes          little-endian, until the end of file
//   ids 0 <unk>, 1 <s>, 2 </s>, 3..258 the bytes <0x00>..<0xFF>; a space stands for sentencepiece's "\u2581"
#pragma once

#include <filesystem>

#include "text/tokenizer.h"

namespace qwen25 {

// The merges are derived: every pair of tokens whose concatenation is a token, the best score of the
// concatenation first; pairs of equal score by the ids of the result, the left and the right part. (Where
// scores tie, llama2.c itself goes by position in the text; trained vocabularies have distinct scores.)
Result<Tokenizer> TokenizerFromLlama2c(const std::filesystem::path& path);

}  // namespace qwen25

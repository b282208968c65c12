// Derives merges from the scores of a sentencepiece vocabulary.
#pragma once

#include <span>

#include "text/tokenizer_spec.h"

namespace qwen25 {

// Fills spec.merges and spec.merge_groups from spec.tokens: every pair of pieces whose concatenation is a
// piece, the best score of the concatenation first. Equal scores are one group: of those, sentencepiece does
// the leftmost first. scores and is_piece [spec.tokens.size()]; tokens that are not pieces (control tokens,
// bytes) take no part.
void DeriveMerges(std::span<const float> scores, const std::vector<bool>& is_piece, TokenizerSpec& spec);

}  // namespace qwen25

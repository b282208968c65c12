// The names that GGUF files have for pre-tokenizers (tokenizer.ggml.pre), as llama.cpp knows them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "text/tokenizer_spec.h"

namespace qwen25 {

// What a name says about a tokenizer.
struct GgufPreTokenizer {
  BpeModel model = BpeModel::kByteLevel;
  std::vector<NormalizerStep> normalizer;
  std::vector<SplitStep> steps;
  bool ignore_merges = false;
  bool add_bos = false;  // where tokenizer.ggml.add_bos_token does not say
};

// The meaning of a name; the empty one is that of "default", which llama.cpp takes where a file has none.
// kUnsupported, with the names that are known, for others.
Result<GgufPreTokenizer> PreTokenizerOfGguf(std::string_view name, std::string_view origin);

// The name for a byte-level tokenizer's steps and ignore_merges. kUnsupported if there is none.
Result<std::string> GgufPreNameOf(const TokenizerSpec& spec, std::string_view origin);

}  // namespace qwen25

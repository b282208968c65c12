// Tokenizers as GGUF files hold them in their metadata.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"

namespace qwen25 {

// The keys under "tokenizer."; vectors and texts that are missing in the file are empty.
struct GgufTokenizer {
  std::string model;  // ggml.model: "gpt2" (BPE by merges), "gemma4" (the same), "llama" (BPE by scores)
  std::string pre;    // ggml.pre: which pre-tokenizer, of "gpt2" (gguf_pre_tokenizers.h)
  std::vector<std::string> tokens;   // ggml.tokens, by id; "gpt2": in the byte alphabet
  std::vector<int32_t> token_types;  // ggml.token_type
  std::vector<float> scores;         // ggml.scores, of "llama"
  std::vector<std::string> merges;   // ggml.merges: "left right", of "gpt2"
  std::optional<int32_t> bos_id, eos_id, unk_id, pad_id;
  std::optional<bool> add_bos, add_eos, add_space_prefix, remove_extra_whitespaces;
  std::string chat_template;  // Jinja source
  // Further ones by name ("tool_use").
  std::vector<std::pair<std::string, std::string>> named_chat_templates;
  std::vector<int32_t> turn_end_ids;  // tokens that end a turn or a message
};

// kCorrupt for parts that do not fit together, kUnsupported for kinds of tokenizers that this program does
// not have; the message names `origin` and the key.
Result<Tokenizer> TokenizerFromGguf(const GgufTokenizer& parts, std::string_view origin);

// The reverse. Ids up to vocab_size, the rows of the model's embedding, that have no token get names of their
// own. The format does not hold how added tokens treat white space around them. kInvalidArgument if there are
// more tokens than rows, kUnsupported for what the format cannot express; the message names `origin`.
Result<GgufTokenizer> GgufTokenizerOf(const Tokenizer& tokenizer, size_t vocab_size, std::string_view origin);

}  // namespace qwen25

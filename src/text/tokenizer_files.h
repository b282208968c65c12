// The files of a Hugging Face tokenizer folder, read into and written from a TokenizerSpec.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/status.h"
#include "text/tokenizer_spec.h"

namespace qwen25 {

// tokenizer.json's content. kUnsupported names the component that this program does not have.
Result<TokenizerSpec> ParseTokenizerJson(std::string_view json, std::string_view origin);

// vocab.json's and merges.txt's contents: a byte-level vocabulary with the pre-tokenizer and the
// normalisation that go with `config`'s tokenizer_class (Qwen2's if it states none).
Result<TokenizerSpec> ParseVocabAndMerges(std::string_view vocab, std::string_view vocab_origin,
                                          std::string_view merges, std::string_view merges_origin,
                                          const Json& config, std::string_view config_origin);

// The parts of tokenizer.json around the model, both directions (tokenizer_pipeline.cc).
struct TokenizerPipeline {
  Json normalizer;
  Json pre_tokenizer;
  Json post_processor;
  Json decoder;
};
Status ParsePipeline(const TokenizerPipeline& pipeline, std::string_view origin, TokenizerSpec& spec);
TokenizerPipeline MakePipeline(const TokenizerSpec& spec);

// An element of tokenizer.json's added_tokens, or of tokenizer_config.json's added_tokens_decoder, where the
// id is the key and not a field.
Result<AddedToken> ParseAddedToken(const Json& object, std::string_view origin);
Json AddedTokenJson(const AddedToken& token, bool with_id);

// Adds roles, chat template and the rest of tokenizer_config.json to `spec`. Roles that it does not state are
// taken from special_tokens_map.json's content (or null).
Status ApplyTokenizerConfig(const Json& config, std::string_view config_origin,
                            const Json& special_tokens_map, TokenizerSpec& spec);

// What Save writes.
std::string TokenizerJsonText(const TokenizerSpec& spec);
std::string TokenizerConfigText(const TokenizerSpec& spec);
std::string VocabJsonText(const TokenizerSpec& spec);
std::string MergesText(const TokenizerSpec& spec);

}  // namespace qwen25

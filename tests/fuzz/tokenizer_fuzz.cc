#include <string>

#include "base/check.h"
#include "targets.h"
#include "text/gguf_tokenizer.h"
#include "text/tokenizer.h"
#include "text/tokenizer_files.h"
#include "text/wordpiece.h"

namespace qwen25 {
namespace {

// The same bytes as the tokenizer of a sentence encoder.
void FuzzWordPiece(std::string_view json, std::string_view origin) {
  auto spec = ParseWordPieceJson(json, origin);
  if (!spec.ok()) {
    QWEN25_CHECK(spec.status().message().find(origin) == 0);
    return;
  }
  const auto tokenizer = WordPieceTokenizer::FromSpec(std::move(*spec), origin);
  if (!tokenizer.ok()) {
    QWEN25_CHECK(tokenizer.status().message().find(origin) == 0);
    return;
  }
  std::vector<int32_t> ids;
  tokenizer->Encode("A\u0301 \xE6\xBC\xA2 the  inging [SEP]\xFF\n 42's ", ids);
  ids.insert(ids.end(), tokenizer->prefix_ids().begin(), tokenizer->prefix_ids().end());
  ids.insert(ids.end(), tokenizer->suffix_ids().begin(), tokenizer->suffix_ids().end());
  for (const int32_t id : ids) QWEN25_CHECK(id >= 0 && static_cast<size_t>(id) < tokenizer->vocab_size());
}

}  // namespace

// A tokenizer.json that is read can be used, and written so that it is read again.
void FuzzTokenizer(std::span<const uint8_t> bytes) {
  constexpr std::string_view kOrigin = "tokenizer.json";
  const std::string_view json(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  FuzzWordPiece(json, kOrigin);
  auto spec = ParseTokenizerJson(json, kOrigin);
  if (!spec.ok()) {
    QWEN25_CHECK(spec.status().message().find(kOrigin) == 0);
    return;
  }
  const std::string written = TokenizerJsonText(*spec);
  const auto tokenizer = Tokenizer::FromSpec(std::move(*spec), kOrigin);
  if (!tokenizer.ok()) {
    QWEN25_CHECK(tokenizer.status().message().find(kOrigin) == 0);
    return;
  }
  const std::string text = "a\u0301 \xE6\xBC\xA2 the  inging <|end|>\xFF\n 42's ";
  for (const int32_t id : tokenizer->Encode(text)) {
    QWEN25_CHECK(id >= 0 && static_cast<size_t>(id) < tokenizer->vocab_size());
    tokenizer->Decode({&id, 1});
  }
  for (size_t id = 0; id < tokenizer->vocab_size(); ++id) tokenizer->TokenBytes(static_cast<int32_t>(id));
  QWEN25_CHECK(ParseTokenizerJson(written, kOrigin).ok());
  // What GGUF can express is read back from it.
  const auto parts = GgufTokenizerOf(*tokenizer, tokenizer->vocab_size(), kOrigin);
  if (!parts.ok()) {
    QWEN25_CHECK(parts.status().message().find(kOrigin) == 0);
    return;
  }
  const auto again = TokenizerFromGguf(*parts, kOrigin);
  QWEN25_CHECK(again.ok() || again.status().message().find(kOrigin) == 0);
  if (again.ok()) again->Encode(text);
}

}  // namespace qwen25

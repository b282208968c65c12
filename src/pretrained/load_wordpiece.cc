#include "pretrained/load_wordpiece.h"

#include <array>
#include <optional>

#include "model/weights_reader.h"
#include "store/gguf.h"

namespace qwen25 {
namespace {

constexpr int64_t kControlType = 3;  // of tokenizer.ggml.token_type

// The id under `key`, `usual` if the file has no such key.
Result<size_t> ReadId(const GgufFiles& files, const std::string& origin, const char* key, int64_t usual,
                      size_t num_tokens) {
  const GgufValue* value = files.Find(key);
  const std::optional<int64_t> id = value == nullptr ? usual : value->Integer();
  if (!id || *id < 0 || static_cast<uint64_t>(*id) >= num_tokens) {
    return Corrupt("{}: {} is {}, expected an id below the vocabulary's {}", origin, key,
                   id ? std::to_string(*id) : std::string(value->TypeName()), num_tokens);
  }
  return static_cast<size_t>(*id);
}

void ReadFlag(const GgufFiles& files, const char* key, bool& flag) {
  if (const GgufValue* value = files.Find(key); value != nullptr) flag = value->Bool().value_or(flag);
}

// llama.cpp writes the start of a word as U+2581 and what goes on with one as it is, the reverse of "##".
Result<WordPieceSpec> ReadGguf(const GgufFiles& files, const std::string& origin) {
  const GgufValue *model = files.Find("tokenizer.ggml.model"), *tokens = files.Find("tokenizer.ggml.tokens"),
                  *types = files.Find("tokenizer.ggml.token_type");
  const std::string_view kind = model == nullptr ? "" : model->String().value_or("");
  if (kind != "bert") {
    return Unsupported("{}: tokenizer.ggml.model is \"{}\"; of sentence encoders, \"bert\" is handled",
                       origin, kind);
  }
  const auto texts = tokens == nullptr ? std::nullopt : tokens->Strings();
  const auto kinds = types == nullptr ? std::nullopt : types->Integers();
  if (!texts || texts->empty() || texts->size() > static_cast<size_t>(kMaxTokenId)) {
    return Corrupt("{}: tokenizer.ggml.tokens is not a list of 1 to {} texts", origin, kMaxTokenId);
  }
  if (types != nullptr && (!kinds || kinds->size() != texts->size())) {
    return Corrupt("{}: tokenizer.ggml.token_type is not a list of {} numbers", origin, texts->size());
  }
  WordPieceSpec spec;
  for (size_t id = 0; id < texts->size(); ++id) {
    const std::string_view text = (*texts)[id];
    const bool control = kinds && (*kinds)[id] == kControlType;
    if (control) {
      spec.added_tokens.push_back({.id = static_cast<int32_t>(id), .content = std::string(text)});
      spec.tokens.emplace_back(text);
    } else if (text.starts_with(kSpaceMark)) {
      spec.tokens.emplace_back(text.substr(kSpaceMark.size()));
    } else {
      spec.tokens.push_back(text.empty() ? std::string() : spec.continuation + std::string(text));
    }
  }
  // What llama.cpp assumes where a file states nothing.
  struct Role {
    const char* key;
    int64_t usual;
    std::string& token;
  };
  const char* first = files.Find("tokenizer.ggml.cls_token_id") != nullptr ? "tokenizer.ggml.cls_token_id"
                                                                           : "tokenizer.ggml.bos_token_id";
  for (const Role& role :
       {Role{first, 101, spec.cls_token}, Role{"tokenizer.ggml.seperator_token_id", 102, spec.sep_token},
        Role{"tokenizer.ggml.unknown_token_id", 100, spec.unk_token}}) {
    QWEN25_TRY(const size_t id, ReadId(files, origin, role.key, role.usual, texts->size()));
    role.token = spec.tokens[id];
  }
  ReadFlag(files, "tokenizer.ggml.normalizer.lowercase", spec.normalizer.lowercase);
  spec.normalizer.strip_accents = spec.normalizer.lowercase;
  ReadFlag(files, "tokenizer.ggml.normalizer.strip_accents", spec.normalizer.strip_accents);
  return spec;
}

}  // namespace

Result<WordPieceTokenizer> LoadWordPiece(const std::filesystem::path& path, bool lowercase) {
  if (IsGgufPath(path)) {
    QWEN25_TRY(const GgufFiles files, GgufFiles::Open(path));
    QWEN25_TRY(WordPieceSpec spec, ReadGguf(files, path.string()));
    spec.normalizer.lowercase |= lowercase;
    return WordPieceTokenizer::FromSpec(std::move(spec), path.string());
  }
  QWEN25_TRY(WordPieceTokenizer tokenizer, WordPieceTokenizer::Load(path));
  if (!lowercase || tokenizer.spec().normalizer.lowercase) return tokenizer;
  WordPieceSpec spec = tokenizer.spec();
  spec.normalizer.lowercase = true;
  return WordPieceTokenizer::FromSpec(std::move(spec), path.string());
}

}  // namespace qwen25

#include "pretrained/load_tokenizer.h"

#include "base/file.h"
#include "model/weights_reader.h"
#include "pretrained/gguf_tokenizer_io.h"

namespace qwen25 {

Result<Tokenizer> LoadTokenizer(const std::filesystem::path& path) {
  if (IsGgufPath(path)) {
    QWEN25_TRY(const GgufFiles files, GgufFiles::Open(path));
    return ReadGgufTokenizer(files, path.string());
  }
  return Tokenizer::Load(path);
}

Result<Tokenizer> LoadFolderTokenizer(const std::filesystem::path& folder) {
  QWEN25_TRY(Tokenizer tokenizer, Tokenizer::Load(folder));
  const std::filesystem::path jinja = folder / "chat_template.jinja";
  std::error_code ignored;
  if (!std::filesystem::exists(jinja, ignored)) return tokenizer;
  TokenizerSpec spec = tokenizer.spec();
  QWEN25_TRY(spec.chat_template, ReadFile(jinja));
  return Tokenizer::FromSpec(std::move(spec), folder.string());
}

}  // namespace qwen25

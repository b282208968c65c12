#include "pretrained/load_tokenizer.h"

#include "model/weights_reader.h"
#include "pretrained/gguf_tokenizer_io.h"
#include "pretrained/hub/resolve_model.h"

namespace qwen25 {

Result<Tokenizer> LoadTokenizer(const std::filesystem::path& name) {
  QWEN25_TRY(const std::filesystem::path path, ResolveModel(name.string()));
  if (IsGgufPath(path)) {
    QWEN25_TRY(const GgufFiles files, GgufFiles::Open(path));
    return ReadGgufTokenizer(files, path.string());
  }
  return Tokenizer::Load(path);
}

}  // namespace qwen25

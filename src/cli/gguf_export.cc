#include "cli/gguf_export.h"

#include <filesystem>

#include "base/file.h"
#include "base/progress.h"
#include "cli/gguf_tokenizer_io.h"
#include "model/gguf_model.h"

namespace qwen25 {
namespace {

// Keys that say how a file was written; the others describe the model.
bool IsAboutTheFile(std::string_view key) {
  return key == "general.file_type" || key == "general.quantization_version" || key == "general.alignment" ||
         key.starts_with("split.") || key.starts_with("quantize.");
}

// A folder's tokenizer, with the chat template that stands in a file of its own.
Result<Tokenizer> LoadFolderTokenizer(const std::filesystem::path& folder) {
  QWEN25_TRY(Tokenizer tokenizer, Tokenizer::Load(folder));
  const std::filesystem::path jinja = folder / "chat_template.jinja";
  std::error_code ignored;
  if (!std::filesystem::exists(jinja, ignored)) return tokenizer;
  TokenizerSpec spec = tokenizer.spec();
  QWEN25_TRY(spec.chat_template, ReadFile(jinja));
  return Tokenizer::FromSpec(std::move(spec), folder.string());
}

Result<GgufMetadata> MetadataOf(const WeightsReader& source, const std::string& input) {
  GgufMetadata metadata;
  if (source.gguf() != nullptr) {
    for (const auto& [key, value] : source.gguf()->files().metadata()) {
      if (!IsAboutTheFile(key)) metadata.SetValue(key, value);
    }
    return metadata;
  }
  SetGgufConfig(source.config(), metadata);
  std::filesystem::path folder = std::filesystem::path(input).lexically_normal();
  if (!folder.has_filename()) folder = folder.parent_path();
  if (folder.has_filename()) metadata.SetString("general.name", folder.filename().string());
  const Result<Tokenizer> tokenizer = LoadFolderTokenizer(input);
  if (tokenizer.ok()) {
    QWEN25_RETURN_IF_ERROR(SetGgufTokenizer(*tokenizer, source.config(), input, metadata));
  } else if (tokenizer.status().code() == StatusCode::kNotFound) {
    fmt::print(stderr, "note: {}: the file will hold no tokenizer\n", tokenizer.status().message());
  } else {
    return tokenizer.status();
  }
  return metadata;
}

// Files of a Hugging Face folder that are copied as they are.
Status CopySideFiles(const std::filesystem::path& from, const std::filesystem::path& to) {
  for (const char* name :
       {"tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt", "added_tokens.json",
        "special_tokens_map.json", "chat_template.jinja", "generation_config.json"}) {
    if (!std::filesystem::exists(from / name)) continue;
    QWEN25_TRY(const std::string content, ReadFile(from / name));
    QWEN25_RETURN_IF_ERROR(WriteFileAtomically(to / name, content));
  }
  return {};
}

// Errors where writing `output` would replace what is read.
Status CheckDifferent(const std::string& input, const std::string& output) {
  std::error_code ignored;
  if (!std::filesystem::equivalent(input, output, ignored)) return {};
  return InvalidArgument("{}: input and output are the same; give another output", output);
}

}  // namespace

Status ExportGguf(const std::string& input, const std::string& output, GgmlType type, bool search_scales) {
  QWEN25_RETURN_IF_ERROR(CheckDifferent(input, output));
  QWEN25_TRY(const std::unique_ptr<WeightsReader> source, WeightsReader::Open(input));
  QWEN25_TRY(GgufMetadata metadata, MetadataOf(*source, input));
  ThreadPool threads(DefaultNumThreads());
  Progress progress("write", "MB", 0);
  return WriteGgufModel(output, *source, type, search_scales, std::move(metadata), threads,
                        [&](uint64_t done, uint64_t total) {
                          constexpr uint64_t kMegabyte = 1'000'000;
                          progress.set_total((total + kMegabyte - 1) / kMegabyte);
                          progress.Update((done + kMegabyte - 1) / kMegabyte);
                        });
}

Status ConvertToFolder(const std::string& input, const std::string& output, DType dtype) {
  QWEN25_RETURN_IF_ERROR(CheckDifferent(input, output));
  QWEN25_TRY(const Model model, Model::Load(input));
  QWEN25_RETURN_IF_ERROR(model.Save(output, dtype));
  if (!IsGgufPath(input)) return CopySideFiles(input, output);
  const Result<Tokenizer> tokenizer = LoadTokenizer(input);
  if (tokenizer.ok()) return tokenizer->Save(output);
  if (tokenizer.status().code() != StatusCode::kNotFound) return tokenizer.status();
  fmt::print(stderr, "note: {}: the folder will hold no tokenizer\n", tokenizer.status().message());
  return {};
}

}  // namespace qwen25

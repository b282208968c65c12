#include "pretrained/export_model.h"

#include <filesystem>

#include "base/file.h"
#include "model/gguf_model.h"
#include "model/model.h"
#include "model/open_weights.h"
#include "pretrained/gguf_tokenizer_io.h"
#include "pretrained/hub/resolve_model.h"
#include "pretrained/load_tokenizer.h"
#include "store/llama2c.h"
#include "text/llama2c_tokenizer.h"

namespace qwen25 {
namespace {

// Whether a key says how the file was written; the others describe the model.
bool IsAboutTheFile(std::string_view key) {
  return key == "general.file_type" || key == "general.quantization_version" || key == "general.alignment" ||
         key.starts_with("split.") || key.starts_with("quantize.");
}

Result<GgufMetadata> MetadataOf(const WeightsReader& source, const std::string& input,
                                std::vector<std::string>& remarks) {
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
  const Result<Tokenizer> tokenizer = LoadTokenizer(input);
  if (tokenizer.ok()) {
    QWEN25_RETURN_IF_ERROR(SetGgufTokenizer(*tokenizer, source.config(), input, metadata));
    if (tokenizer->vocab_size() > source.config().vocab_size) {
      remarks.push_back(fmt::format(
          "{}: the tokenizer adds tokens beyond the model's {} embedding rows; the written file does "
          "not hold them",
          input, source.config().vocab_size));
    }
  } else if (tokenizer.status().code() == StatusCode::kNotFound) {
    remarks.push_back(fmt::format("{}: the written file holds no tokenizer", tokenizer.status().message()));
  } else {
    return tokenizer.status();
  }
  return metadata;
}

// Copies the files of a Hugging Face folder that need no conversion.
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

// An error if writing `output` would overwrite `input`.
Status CheckDifferent(const std::string& input, const std::string& output) {
  std::error_code ignored;
  if (!std::filesystem::equivalent(input, output, ignored)) return {};
  return InvalidArgument("{}: input and output are the same; give another output", output);
}

}  // namespace

Result<ExportRemarks> ExportGguf(const std::string& model_name, const std::string& output, GgmlType type,
                                 bool fit_scales, const ExportProgress& progress) {
  QWEN25_TRY(const std::filesystem::path input_path, ResolveModel(model_name));
  const std::string input = input_path.string();
  QWEN25_RETURN_IF_ERROR(CheckDifferent(input, output));
  QWEN25_TRY(const std::unique_ptr<WeightsReader> source, OpenWeights(input));
  ExportRemarks remarks(source->remarks().begin(), source->remarks().end());
  QWEN25_TRY(GgufMetadata metadata, MetadataOf(*source, input, remarks));
  ThreadPool threads(DefaultNumThreads());
  QWEN25_RETURN_IF_ERROR(
      WriteGgufModel(output, *source, type, fit_scales, std::move(metadata), threads, progress));
  return remarks;
}

Result<ExportRemarks> ConvertToFolder(const std::string& model_name, const std::string& output, DType dtype,
                                      std::span<const AdapterSource> adapters) {
  QWEN25_TRY(const std::filesystem::path input_path, ResolveModel(model_name));
  const std::string input = input_path.string();
  QWEN25_RETURN_IF_ERROR(CheckDifferent(input, output));
  QWEN25_TRY(const std::unique_ptr<WeightsReader> source, OpenMergedWeights(input, adapters));
  QWEN25_TRY(const Model model, Model::Load(*source));
  QWEN25_RETURN_IF_ERROR(model.Save(output, dtype));
  ExportRemarks remarks = model.remarks();
  if (!IsGgufPath(input)) {
    QWEN25_RETURN_IF_ERROR(CopySideFiles(input, output));
    return remarks;
  }
  const Result<Tokenizer> tokenizer = LoadTokenizer(input);
  if (tokenizer.ok()) {
    QWEN25_RETURN_IF_ERROR(tokenizer->Save(output));
  } else if (tokenizer.status().code() == StatusCode::kNotFound) {
    remarks.push_back(fmt::format("{}: the written folder holds no tokenizer", tokenizer.status().message()));
  } else {
    return tokenizer.status();
  }
  return remarks;
}

Status ConvertLlama2c(const std::string& checkpoint, const std::string& vocabulary, const std::string& output,
                      DType dtype) {
  QWEN25_TRY(const Tokenizer tokenizer, TokenizerFromLlama2c(vocabulary));
  QWEN25_RETURN_IF_ERROR(ConvertLlama2cWeights(checkpoint, output));
  QWEN25_TRY(const ModelConfig config, ModelConfig::Load(std::filesystem::path(output) / "config.json"));
  if (tokenizer.vocab_size() != config.vocab_size) {
    return InvalidArgument("{} has {} entries and {} a vocabulary of {}; they do not belong together",
                           vocabulary, tokenizer.vocab_size(), checkpoint, config.vocab_size);
  }
  QWEN25_RETURN_IF_ERROR(tokenizer.Save(output));
  if (dtype == DType::kF32) return {};
  QWEN25_TRY(const Model model, Model::Load(output));
  return model.Save(output, dtype);
}

}  // namespace qwen25

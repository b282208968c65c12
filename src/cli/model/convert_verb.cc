#include "cli/flags/adapter_flags.h"
#include "cli/model/export_on_terminal.h"
#include "cli/verb.h"
#include "model/weights_reader.h"
#include "pretrained/export_model.h"
#include "pretrained/hub/resolve_model.h"

namespace qwen25 {
namespace {

struct ConvertFlags {
  std::string input, tokenizer, output, dtype = "f32";
  AdapterFlags adapters;
};

Result<DType> ParseWeightDType(const std::string& name) {
  if (name == "f32") return DType::kF32;
  if (name == "f16") return DType::kF16;
  if (name == "bf16") return DType::kBF16;
  return InvalidArgument("--dtype is \"{}\", expected f32, f16 or bf16", name);
}

GgmlType GgmlTypeOf(DType dtype) {
  return dtype == DType::kF16 ? GgmlType::kF16 : dtype == DType::kBF16 ? GgmlType::kBF16 : GgmlType::kF32;
}

Status RunConvert(const ConvertFlags& flags) {
  QWEN25_TRY(const DType dtype, ParseWeightDType(flags.dtype));
  QWEN25_TRY(const std::filesystem::path input, ResolveModel(flags.input));
  QWEN25_TRY(const std::vector<AdapterSource> adapters, flags.adapters.Sources());
  const bool is_model = std::filesystem::is_directory(input) || IsGgufPath(input);
  if (!adapters.empty() && (!is_model || IsGgufPath(flags.output))) {
    return InvalidArgument(
        "{}: adapters are merged from a model into a folder; write a folder with --adapter first, and "
        "convert "
        "that",
        flags.output);
  }
  if (is_model && IsGgufPath(flags.output)) {
    QWEN25_RETURN_IF_ERROR(ExportGgufOnTerminal(flags.input, flags.output, GgmlTypeOf(dtype), false));
  } else if (is_model) {
    QWEN25_RETURN_IF_ERROR(ConvertToFolderOnTerminal(flags.input, flags.output, dtype, adapters));
  } else if (IsGgufPath(flags.output)) {
    return InvalidArgument("{}: convert a llama2.c checkpoint to a folder first, and that to GGUF",
                           flags.output);
  } else {
    if (flags.tokenizer.empty()) {
      return InvalidArgument(
          "a llama2.c checkpoint needs its vocabulary: give --tokenizer FILE, e.g. tok512.bin");
    }
    QWEN25_RETURN_IF_ERROR(ConvertLlama2c(flags.input, flags.tokenizer, flags.output, dtype));
  }
  fmt::print("{} -> {} ({})\n", flags.input, flags.output, flags.dtype);
  return {};
}

}  // namespace

void AddConvertVerb(CLI::App& app, RunVerb& run) {
  const auto [verb, flags] = AddVerb(app, run, "convert", "Change the format of a model", RunConvert);
  verb->add_option("input", flags->input,
                   "A model: its folder, .gguf file or name; or a llama2.c checkpoint (.bin)")
      ->required();
  verb->add_option("output,-o,--output", flags->output, "The Hugging Face folder or .gguf file to write")
      ->required();
  verb->add_option("--tokenizer", flags->tokenizer, "llama2.c: the vocabulary file beside the checkpoint");
  AddAdapterFlag(
      *verb, flags->adapters.adapters,
      "A LoRA adapter to add to the weights of a folder that is written, and how much of it; several add "
      "up (docs/adapters.md)");
  verb->add_option("--dtype", flags->dtype, "Weights as f32, f16 or bf16")->capture_default_str();
  verb->footer(
      "Examples:\n"
      "  qwen25 convert stories260K.bin runs/stories --tokenizer tok512.bin\n"
      "  qwen25 convert runs/demo/model runs/demo/model-bf16 --dtype bf16\n"
      "  qwen25 convert runs/demo/model demo.gguf --dtype f16\n"
      "  qwen25 convert Qwen2.5-0.5B Qwen2.5-0.5B-tuned --adapter runs/adapter=0.8 --dtype bf16\n"
      "  qwen25 convert qwen2.5-0.5b-q8_0.gguf -o qwen2.5-0.5b");
}

}  // namespace qwen25

#include "base/dtype.h"
#include "cli/model/export_on_terminal.h"
#include "cli/verb.h"
#include "model/model.h"
#include "model/weights_reader.h"

namespace qwen25 {
namespace {

struct QuantizeFlags {
  std::string model, output, format;
};

// A name of --format and what it writes.
struct Format {
  const char* name;
  GgmlType type;
  bool fit_scales = false;
  const char* description;
};
constexpr Format kFormats[] = {
    {"float32", GgmlType::kF32, false, "32 bits per weight"},
    {"float16", GgmlType::kF16, false, "16 bits"},
    {"bfloat16", GgmlType::kBF16, false, "16 bits, the official checkpoints' own"},
    {"q8_0", GgmlType::kQ8_0, false, "8.5 bits; runs here as int8, without loss"},
    {"q6_k", GgmlType::kQ6_K, false, "6.6 bits"},
    {"q5_k", GgmlType::kQ5_K, false, "5.5 bits"},
    {"q5_1", GgmlType::kQ5_1, false, "6 bits"},
    {"q5_0", GgmlType::kQ5_0, false, "5.5 bits"},
    {"q4_k", GgmlType::kQ4_K, false, "4.5 bits"},
    {"q4_1", GgmlType::kQ4_1, false, "5 bits"},
    {"q4_0", GgmlType::kQ4_0, false, "4.5 bits; runs here as int4, without loss"},
    {"int4", GgmlType::kQ4_0, true,
     "q4_0 with the scales of least squared error for its codes: the same size, closer"},
    {"int8", GgmlType::kQ8_0, false, "another name for q8_0"},
};

Result<Format> FindFormat(const std::string& name) {
  std::vector<std::string> names;
  for (const Format& format : kFormats) {
    if (name == format.name) return format;
    names.push_back(format.name);
  }
  return InvalidArgument("--format is \"{}\", expected one of: {}", name, fmt::join(names, ", "));
}

Status RunQuantize(const QuantizeFlags& flags) {
  QWEN25_TRY(const Format format, FindFormat(flags.format));
  if (IsGgufPath(flags.output)) {
    QWEN25_RETURN_IF_ERROR(ExportGgufOnTerminal(flags.model, flags.output, format.type, format.fit_scales));
  } else {
    const DType dtype = format.type == GgmlType::kF16    ? DType::kF16
                        : format.type == GgmlType::kBF16 ? DType::kBF16
                                                         : DType::kF32;
    if (format.type != GgmlType::kF32 && dtype == DType::kF32) {
      return InvalidArgument(
          "--output {} is a folder of safetensors, which hold float32, float16 or bfloat16; for {} give a "
          "file "
          "that ends in .gguf",
          flags.output, flags.format);
    }
    QWEN25_RETURN_IF_ERROR(ConvertToFolderOnTerminal(flags.model, flags.output, dtype, {}));
  }
  fmt::print("{} -> {} ({})\n", flags.model, flags.output, flags.format);
  return {};
}

}  // namespace

void AddQuantizeVerb(CLI::App& app, RunVerb& run) {
  const auto [verb, flags] =
      AddVerb(app, run, "quantize", "Write a model in fewer bits per weight", RunQuantize);
  std::string formats;
  for (const Format& format : kFormats)
    formats += fmt::format("\n  {:<10}{}", format.name, format.description);
  verb->add_option("-m,--model", flags->model, "Folder, .gguf file or name of a model")->required();
  verb->add_option("-o,--output", flags->output,
                   "A .gguf file, or for float formats a Hugging Face folder; replaced when it is complete")
      ->required();
  verb->add_option("--format", flags->format, "One of the formats below")->required();
  verb->footer(
      "Formats:" + formats +
      "\nNorms and biases stay in float32. Below 6 bits the output projection is written in q6_k. Rows that "
      "a\nformat cannot divide are written in the next larger one that can.\n\n"
      "Examples:\n"
      "  qwen25 quantize -m Qwen2.5-0.5B-Instruct -o qwen2.5-0.5b-q8_0.gguf --format q8_0\n"
      "  qwen25 quantize -m model-f32.gguf -o model-q4_k.gguf --format q4_k");
}

}  // namespace qwen25

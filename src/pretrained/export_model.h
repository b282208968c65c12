// Writes any model as a GGUF file or a Hugging Face folder, for the verbs convert and quantize.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/dtype.h"
#include "base/ggml_type.h"
#include "base/status.h"
#include "pretrained/adapter/read_adapter.h"

namespace qwen25 {

// Remarks about the written model for the user, one sentence each.
using ExportRemarks = std::vector<std::string>;

// Called as bytes are written, with those done and those of the whole file.
using ExportProgress = std::function<void(uint64_t done, uint64_t total)>;

// Writes the model `input` (a Hugging Face folder, a GGUF file or a name: ResolveModel) with its tokenizer to
// the GGUF file `output`, atomically. A GGUF file's metadata is copied, except for keys about the file
// itself. `fit_scales`: see WriteGgufModel. kInvalidArgument if input and output are the same file.
Result<ExportRemarks> ExportGguf(const std::string& input, const std::string& output, GgmlType type,
                                 bool fit_scales, const ExportProgress& progress = {});

// Writes the model `input` to the Hugging Face folder `output`: weights as `dtype` (kF32, kBF16, kF16),
// config.json and tokenizer, with `adapters` merged into the weights. Tokenizer, template and generation
// files of a folder are copied unchanged.
Result<ExportRemarks> ConvertToFolder(const std::string& input, const std::string& output, DType dtype,
                                      std::span<const AdapterSource> adapters = {});

// A llama2.c checkpoint and its vocabulary into such a folder. kInvalidArgument if they do not belong
// together.
Status ConvertLlama2c(const std::string& checkpoint, const std::string& vocabulary, const std::string& output,
                      DType dtype);

}  // namespace qwen25

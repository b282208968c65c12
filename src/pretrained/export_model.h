// Any model into a GGUF file or a Hugging Face folder: what convert and quantize share.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/dtype.h"
#include "base/ggml_type.h"
#include "base/status.h"

namespace qwen25 {

// What a user should know about a model that was written, a sentence each.
using ExportRemarks = std::vector<std::string>;

// Called as bytes are written.
using ExportProgress = std::function<void(uint64_t done, uint64_t total)>;

// Writes the model at `input` (a Hugging Face folder or a GGUF file) with its tokenizer into the file
// `output`, atomically. `search_scales`: gguf_model.h. A GGUF file's metadata is taken over as it is.
Result<ExportRemarks> ExportGguf(const std::string& input, const std::string& output, GgmlType type,
                                 bool search_scales, const ExportProgress& progress = {});

// The same model into the Hugging Face folder `output`: weights, config.json, tokenizer, and a folder's other
// files as they are.
Result<ExportRemarks> ConvertToFolder(const std::string& input, const std::string& output, DType dtype);

}  // namespace qwen25

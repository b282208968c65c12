// Any model into a GGUF file: what convert and quantize share.
#pragma once

#include <string>

#include "base/dtype.h"
#include "base/ggml_type.h"
#include "base/status.h"

namespace qwen25 {

// Writes the model at `input` (a Hugging Face folder or a GGUF file) with its tokenizer into the file
// `output`, atomically, with progress. `search_scales`: gguf_model.h. A GGUF file's metadata is taken over as
// it is.
Status ExportGguf(const std::string& input, const std::string& output, GgmlType type, bool search_scales);

// The same model into the Hugging Face folder `output`: weights, config.json, tokenizer, and a folder's other
// files as they are.
Status ConvertToFolder(const std::string& input, const std::string& output, DType dtype);

}  // namespace qwen25

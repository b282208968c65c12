// What convert and quantize share: pretrained/export_model.h, with progress and notes on standard error.
#pragma once

#include <span>
#include <string>

#include "base/dtype.h"
#include "base/ggml_type.h"
#include "base/status.h"
#include "pretrained/adapter/read_adapter.h"

namespace qwen25 {

Status ExportGgufOnTerminal(const std::string& input, const std::string& output, GgmlType type,
                            bool fit_scales);
Status ConvertToFolderOnTerminal(const std::string& input, const std::string& output, DType dtype,
                                 std::span<const AdapterSource> adapters);

}  // namespace qwen25

#include "cli/model/export_on_terminal.h"

#include <optional>

#include "base/progress.h"
#include "cli/flags/model_flags.h"
#include "pretrained/export_model.h"

namespace qwen25 {

Status ExportGgufOnTerminal(const std::string& input, const std::string& output, GgmlType type,
                            bool fit_scales) {
  std::optional<Progress> progress;  // from the first bytes on: none stands above an early error
  const auto show = [&](uint64_t done, uint64_t total) {
    constexpr uint64_t kMegabyte = 1'000'000;
    if (!progress) progress.emplace("write", "MB", 0);
    progress->set_total((total + kMegabyte - 1) / kMegabyte);
    progress->Update((done + kMegabyte - 1) / kMegabyte);
  };
  const Result<ExportRemarks> remarks = ExportGguf(input, output, type, fit_scales, show);
  progress.reset();
  if (remarks.ok()) PrintNotes(*remarks);
  return remarks.status();
}

Status ConvertToFolderOnTerminal(const std::string& input, const std::string& output, DType dtype,
                                 std::span<const AdapterSource> adapters) {
  QWEN25_TRY(const ExportRemarks remarks, ConvertToFolder(input, output, dtype, adapters));
  PrintNotes(remarks);
  return {};
}

}  // namespace qwen25

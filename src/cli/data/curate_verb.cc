#include "base/progress.h"
#include "cli/flags/check_numbers.h"
#include "cli/terminal/interrupt.h"
#include "cli/verb.h"
#include "data/curate.h"

namespace qwen25 {
namespace {

struct CurateFlags {
  CurateOptions options;
  std::vector<std::string> sources;
  uint32_t num_threads = 0;
};

Status RunCurate(CurateFlags& flags) {
  if (!flags.sources.empty()) {
    flags.options.sources.clear();
    for (const std::string& path : flags.sources) flags.options.sources.push_back(UserSource(path));
  }
  ThreadPool threads(flags.num_threads == 0 ? DefaultNumThreads() : flags.num_threads);
  const InterruptGuard guard;
  Result<CurateReport> report = [&] {
    Progress progress("curate", "bytes", flags.options.max_bytes);
    return Curate(flags.options, threads, [&](const CurateProgress& state) {
      progress.Update(state.bytes_kept, fmt::format("{} documents, {}", state.documents_kept, state.source));
      return !InterruptGuard::requested();
    });
  }();
  if (!report.ok()) return report.status();
  fmt::print("{}", FormatCurateReport(*report));
  return {};
}

}  // namespace

void AddCurateVerb(CLI::App& app, RunVerb& run) {
  const auto [verb, flags] =
      AddVerb(app, run, "curate",
              "Raw text to clean, deduplicated documents, split for training and validation", RunCurate);
  verb->add_option("-o,--output", flags->options.output,
                   "Folder for documents.*.jsonl and curate_report.json")
      ->required();
  verb->add_option(
      "--source", flags->sources,
      "A folder or file of text, Markdown, source code, manual pages, POD or JSONL; may be given several "
      "times. Default: the documentation and source code found on this machine");
  verb->add_option("--max-bytes", flags->options.max_bytes, "Text to keep; 0: all there is")
      ->capture_default_str();
  verb->add_option("--min-bytes", flags->options.min_bytes, "Less than this is an error")
      ->capture_default_str();
  verb->add_option("--validation-fraction", flags->options.validation_fraction, "Share of documents held out")
      ->capture_default_str();
  verb->add_option("--threads", flags->num_threads, "Threads; default: every core this process may use")
      ->check(kThreadCount);
  verb->footer(
      "Examples:\n"
      "  qwen25 curate -o runs/demo/data\n"
      "  qwen25 curate --source ~/notes --source ~/src --min-bytes 0 -o runs/mine/data");
}

}  // namespace qwen25

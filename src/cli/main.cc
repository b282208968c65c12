// The program: parse, call, report.
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

#include "cli/verb.h"
#include "kernels/isa.h"

int main(int argc, char** argv) {
  qwen25::ApplyForcedIsa();
  CLI::App app{"qwen25: curate text, train language models, and use them."};
  app.set_version_flag("--version", QWEN25_VERSION);
  app.require_subcommand(1);
  app.get_formatter()->column_width(36);
  app.footer(
      "Examples:\n"
      "  qwen25 plan 7b\n"
      "  qwen25 generate --model runs/demo/model --prompt \"import os\"\n"
      "  qwen25 chat --model Qwen2.5-0.5B-Instruct\n"
      "\n`qwen25 VERB --help` explains a verb.");
  qwen25::RunVerb run;
  qwen25::AddCurateVerb(app, run);
  qwen25::AddTokenizerVerb(app, run);
  qwen25::AddPlanVerb(app, run);
  qwen25::AddTrainVerb(app, run);
  qwen25::AddReportVerb(app, run);
  qwen25::AddPerplexityVerb(app, run);
  qwen25::AddDivergenceVerb(app, run);
  qwen25::AddGenerateVerb(app, run);
  qwen25::AddChatVerb(app, run);
  qwen25::AddConvertVerb(app, run);
  qwen25::AddQuantizeVerb(app, run);
  qwen25::AddLogitsVerb(app, run);
  qwen25::AddRoutingVerb(app, run);
  qwen25::AddEmbedVerb(app, run);
  qwen25::AddMemoryVerb(app, run);
  qwen25::AddBenchVerb(app, run);
  CLI11_PARSE(app, argc, argv);

  const qwen25::Status status = run();
  if (status.ok()) return 0;
  const bool color = ::isatty(STDERR_FILENO);
  fmt::print(stderr, "{}error:{} {}\n", color ? "\033[1;31m" : "", color ? "\033[0m" : "", status.message());
  // A user's stop is no failure of the program; shells expect 128 + SIGINT.
  return status.code() == qwen25::StatusCode::kCancelled ? 130 : 1;
}

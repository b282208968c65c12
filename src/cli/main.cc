// The program: parse, call, report.
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <exception>
#include <new>
#include <sstream>
#include <system_error>

#include "base/standard_output.h"
#include "base/temporary_file.h"
#include "cli/flags/check_numbers.h"
#include "cli/flags/memory_flags.h"
#include "cli/flags/no_model.h"
#include "cli/terminal/help_format.h"
#include "cli/terminal/interrupt.h"
#include "cli/verb.h"
#include "kernels/isa.h"

namespace qwen25 {
namespace {

void AddVerbs(CLI::App& app, RunVerb& run) {
  // Verbs inherit it.
  app.formatter(std::make_shared<HelpFormatter>());
  AddCurateVerb(app, run);
  AddTokenizerVerb(app, run);
  AddPlanVerb(app, run);
  AddTrainVerb(app, run);
  AddReportVerb(app, run);
  AddPerplexityVerb(app, run);
  AddDivergenceVerb(app, run);
  AddGenerateVerb(app, run);
  AddChatVerb(app, run);
  AddPullVerb(app, run);
  AddModelsVerb(app, run);
  AddConvertVerb(app, run);
  AddQuantizeVerb(app, run);
  AddLogitsVerb(app, run);
  AddRoutingVerb(app, run);
  AddEmbedVerb(app, run);
  AddMemoryVerb(app, run);
  AddServeVerb(app, run);
  AddKeysVerb(app, run);
  AddBenchVerb(app, run);
  CheckNumbers(app);
  CheckNamespaces(app);
  // After the verbs, which would inherit these examples, too.
  app.set_version_flag("--version", QWEN25_VERSION, "Print the version and exit");
  app.require_subcommand(1);
  app.footer(
      "Examples:\n"
      "  qwen25 plan 7b\n"
      "  qwen25 generate --model runs/demo/model --prompt \"import os\"\n"
      "  qwen25 pull Qwen/Qwen2.5-0.5B-Instruct && qwen25 chat --model Qwen/Qwen2.5-0.5B-Instruct\n"
      "\n`qwen25 VERB --help` explains a verb.");
}

// What memory is limited to, if it is.
std::string MemoryLimit() {
  struct rlimit limit {};
  if (::getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return "";
  return fmt::format("; this shell allows {} MiB of address space (ulimit -v)", limit.rlim_cur >> 20);
}

// What the standard library throws becomes a message like every other error. Everything else in this program
// fails through Status.
Status StatusOf(const std::exception_ptr& exception) {
  try {
    std::rethrow_exception(exception);
  } catch (const std::bad_alloc&) {
    return ResourceExhausted("there is not enough memory{}", MemoryLimit());
  } catch (const std::system_error& error) {  // threads, files
    return Status(StatusCode::kIo, error.what() + MemoryLimit());
  } catch (const std::exception& error) {
    return Status(StatusCode::kIo, fmt::format("internal error: {}", error.what()));
  }
}

void PrintError(const Status& status) {
  const bool color = ::isatty(STDERR_FILENO) != 0;
  fmt::print(stderr, "{}error:{} {}\n", color ? "\033[1;31m" : "", color ? "\033[0m" : "", status.message());
}

// The last resort, for what is thrown where nothing may be: on a thread of its own, or while an object dies.
[[noreturn]] void OnTerminate() {
  if (const std::exception_ptr exception = std::current_exception()) PrintError(StatusOf(exception));
  RemoveTemporaryFilesInSignalHandler();
  ::_exit(1);
}

Status ParseAndRun(int argc, char** argv, int& exit_code) {
  CLI::App app{"qwen25: curate text, train language models, and use them.", "qwen25"};
  RunVerb run;
  AddVerbs(app, run);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::ostringstream help, message;
    exit_code = app.exit(error, help, message);
    if (std::string_view(error.what()).starts_with("--model is required")) {
      message.str(NoModelMessage(app.get_subcommands().front()->get_name()));
    }
    fmt::print("{}", help.str());
    fmt::print(stderr, "{}", message.str());
    return {};
  }
  return run();
}

// 128 and the signal's number, as shells have it.
int ExitCodeOf(const Status& status) {
  if (status.ok()) return 0;
  if (status.code() != StatusCode::kCancelled) return 1;
  return 128 + (StopSignal() == 0 ? SIGINT : StopSignal());
}

int Main(int argc, char** argv) {
  StandardStreams streams({.on_failure = InterruptGuard::RequestEnd, .ending = InterruptGuard::ending});
  int exit_code = 0;
  Status status;
  try {
    status = ParseAndRun(argc, argv, exit_code);
  } catch (...) {
    status = StatusOf(std::current_exception());
  }
  const Status output = streams.Finish();
  // Whoever stops reading has what he wants: a pipeline's other programs say nothing either, and end like
  // this.
  if (streams.reader_has_gone() && (status.ok() || status.code() == StatusCode::kCancelled)) {
    return 128 + SIGPIPE;
  }
  // A verb that was stopped because its output failed is not the reason.
  if (!output.ok() && (status.ok() || status.code() == StatusCode::kCancelled)) status = output;
  if (!status.ok()) PrintError(status);
  return status.ok() ? exit_code : ExitCodeOf(status);
}

}  // namespace
}  // namespace qwen25

int main(int argc, char** argv) {
  qwen25::KeepStandardDescriptorsOpen();
  qwen25::InstallSignalHandlers();
  std::set_terminate(qwen25::OnTerminate);
  qwen25::ApplyForcedIsa();
  return qwen25::Main(argc, argv);
}

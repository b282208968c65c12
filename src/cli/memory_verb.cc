// `qwen25 memory`: what is remembered, and how sound it is.
#include <array>
#include <memory>

#include "cli/embedder_flags.h"
#include "cli/memory_notes_verb.h"
#include "cli/verb.h"

namespace qwen25 {
namespace {

// One kind of memory in the folder: its own commands, and its share of those that all have. A kind that the
// folder does not hold prints nothing.
struct MemoryPart {
  void (*add_commands)(CLI::App& verb, RunVerb& run);
  Status (*print_stats)(const std::filesystem::path& folder);
  Status (*verify)(const std::filesystem::path& folder);
};
constexpr std::array kParts = {MemoryPart{AddNoteCommands, PrintNoteStats, VerifyNotes}};

Status ForAllParts(const std::string& folder, Status (*MemoryPart::*command)(const std::filesystem::path&)) {
  const std::filesystem::path path = folder.empty() ? DefaultMemoryDirectory() : folder;
  std::error_code ignored;
  if (!std::filesystem::is_directory(path, ignored)) {
    fmt::print("{}: nothing is remembered there yet\n", path.string());
    return {};
  }
  for (const MemoryPart& part : kParts) QWEN25_RETURN_IF_ERROR((part.*command)(path));
  return {};
}

}  // namespace

void AddMemoryVerb(CLI::App& app, RunVerb& run) {
  CLI::App* verb = app.add_subcommand("memory", "Add to the memory, search it, look after it");
  verb->require_subcommand(1);
  for (const MemoryPart& part : kParts) part.add_commands(*verb, run);
  const auto add = [&](const char* name, const char* what,
                       Status (*MemoryPart::*command)(const std::filesystem::path&)) {
    auto folder = std::make_shared<std::string>();
    CLI::App* sub = verb->add_subcommand(name, what);
    sub->add_option("--memory", *folder,
                    "Folder of the memory; default: $QWEN25_MEMORY, else " + DefaultMemoryDirectory());
    sub->callback(
        [folder, &run, command] { run = [folder, command] { return ForAllParts(*folder, command); }; });
  };
  add("stats", "How much is remembered", &MemoryPart::print_stats);
  add("verify", "Check every file against itself", &MemoryPart::verify);
  verb->footer(
      "Examples:\n  qwen25 memory add \"The door code is 4711\" --tag home\n"
      "  qwen25 memory add ~/notes --namespace work\n"
      "  qwen25 memory search \"how do I get in?\"\n"
      "  qwen25 memory forget 1 --erase");
}

}  // namespace qwen25

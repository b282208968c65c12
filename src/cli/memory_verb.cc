// `qwen25 memory`: what is remembered, and how sound it is.
#include <memory>

#include "cli/embedder_flags.h"
#include "cli/memory_notes_verb.h"
#include "cli/verb.h"

namespace qwen25 {

void AddMemoryVerb(CLI::App& app, RunVerb& run) {
  CLI::App* verb = app.add_subcommand("memory", "Add to the memory, search it, look after it");
  verb->require_subcommand(1);
  AddNoteCommands(*verb, run);
  const auto add = [&](const char* name, const char* what, Status (*function)(const std::filesystem::path&)) {
    auto folder = std::make_shared<std::string>();
    CLI::App* command = verb->add_subcommand(name, what);
    command->add_option("--memory", *folder,
                        "Folder of the memory; default: $QWEN25_MEMORY, else " + DefaultMemoryDirectory());
    command->callback([folder, &run, function] {
      run = [folder, function] { return function(folder->empty() ? DefaultMemoryDirectory() : *folder); };
    });
  };
  add("stats", "How much is remembered", PrintNoteStats);
  add("verify", "Check every file against itself", VerifyNotes);
  verb->footer(
      "Examples:\n  qwen25 memory add \"The door code is 4711\" --tag home\n"
      "  qwen25 memory add ~/notes --namespace work\n"
      "  qwen25 memory search \"how do I get in?\"\n"
      "  qwen25 memory forget 1 --erase");
}

}  // namespace qwen25

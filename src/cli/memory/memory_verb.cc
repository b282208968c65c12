// `qwen25 memory`: what is remembered, and how sound it is.
#include <array>
#include <memory>

#include "cli/flags/embedder_flags.h"
#include "cli/flags/memory_flags.h"
#include "cli/memory/memory_blocks_verb.h"
#include "cli/memory/memory_dialogues_verb.h"
#include "cli/memory/memory_notes_verb.h"
#include "cli/verb.h"

namespace qwen25 {
namespace {

// One kind of memory in the folder: its own commands, and its share of those that all have (null: none). A
// kind that the folder does not hold prints nothing.
struct MemoryPart {
  using Command = Status (*)(const MemoryPlace& flags);
  void (*add_commands)(CLI::App& verb, RunVerb& run);
  Command print_stats, verify, compact;
};
constexpr std::array kParts = {MemoryPart{AddNoteCommands, PrintNoteStats, VerifyNotes, CompactNotes},
                               MemoryPart{nullptr, PrintDialogueStats, VerifyDialogues, nullptr},
                               MemoryPart{AddBlockCommands, PrintBlockStats, VerifyBlocks, CompactBlocks}};

Status ForAllParts(const MemoryPlace& flags, MemoryPart::Command MemoryPart::*command) {
  QWEN25_RETURN_IF_ERROR(flags.CheckFolder());
  const std::filesystem::path path = flags.Folder();
  std::error_code ignored;
  if (!std::filesystem::is_directory(path, ignored)) {
    fmt::print("{}: nothing is remembered there yet\n", path.string());
    return {};
  }
  // One part that is damaged does not hide the state of the others.
  Status first_error;
  for (const MemoryPart& part : kParts) {
    const Status status = part.*command == nullptr ? Status() : (part.*command)(flags);
    if (status.ok()) continue;
    if (first_error.ok()) {
      first_error = status;
    } else {
      fmt::print(stderr, "{}\n", status.message());
    }
  }
  return first_error;
}

}  // namespace

void AddMemoryVerb(CLI::App& app, RunVerb& run) {
  CLI::App* verb = app.add_subcommand("memory", "Add to the memory, search it, look after it");
  verb->require_subcommand(1);
  for (const MemoryPart& part : kParts) {
    if (part.add_commands != nullptr) part.add_commands(*verb, run);
  }
  const auto add = [&](const char* name, const char* what, MemoryPart::Command MemoryPart::*command) {
    auto flags = std::make_shared<MemoryPlace>();
    CLI::App* sub = verb->add_subcommand(name, what);
    AddMemoryFolderFlags(*sub, *flags);
    sub->callback(
        [flags, &run, command] { run = [flags, command] { return ForAllParts(*flags, command); }; });
    sub->footer(fmt::format(
        "Examples:\n  qwen25 memory {0}\n  qwen25 memory {0} --memory vault --memory-key key", name));
  };
  add("stats", "How much is remembered", &MemoryPart::print_stats);
  add("verify", "Check every file against itself", &MemoryPart::verify);
  add("compact", "Give back the room of what was removed", &MemoryPart::compact);
  verb->footer(
      "Examples:\n  qwen25 memory add \"The door code is 4711\" --tag home\n"
      "  qwen25 memory add ~/notes --namespace work\n"
      "  qwen25 memory search \"how do I get in?\"\n"
      "  qwen25 memory forget 1 --erase\n"
      "  qwen25 memory stats && qwen25 memory verify\n"
      "  qwen25 memory export-blocks work.safetensors --namespace work\n"
      "  qwen25 memory erase --namespace work\n"
      "Encrypted, from the first command on:\n"
      "  head -c 32 /dev/urandom > memory.key\n"
      "  qwen25 memory add \"The door code is 4711\" --memory-key memory.key");
}

}  // namespace qwen25

#include "cli/memory/memory_blocks_verb.h"

#include <memory>
#include <optional>

#include "cli/terminal/interrupt.h"
#include "cli/terminal/show_progress.h"
#include "knowledge/dialogue/dialogue_log.h"
#include "memory/block_export.h"

namespace qwen25 {
namespace {

constexpr double kMiB = 1 << 20;

struct BlockFileFlags {
  MemoryPlace memory;
  std::string file;
};

// Runs a command of a store that is there.
Status WithStore(const MemoryPlace& flags, const std::function<Status(BlockStore&)>& command) {
  if (!HasBlockStore(flags)) {
    return NotFound("{}: no keys and values are stored there", flags.Folder().string());
  }
  QWEN25_TRY(const std::unique_ptr<BlockStore> store, OpenBlockStore(flags));
  return command(*store);
}

// Opening a store writes to it.
bool SaysNotLookedAt(const MemoryPlace& flags) {
  if (!flags.CanOnlyBeRead()) return false;
  fmt::print("blocks of keys and values: not looked at, since this folder can only be read\n");
  return true;
}

Status Erase(const MemoryPlace& flags) {
  QWEN25_RETURN_IF_ERROR(flags.CheckFolder());
  QWEN25_TRY(const std::optional<std::string> key, flags.Key());
  QWEN25_TRY(const DialogueLog log, DialogueLog::Open(flags.Folder(), flags.name_space, key));
  QWEN25_TRY(const size_t num_dialogues, log.Erase());
  uint64_t num_blocks = 0;
  if (HasBlockStore(flags)) {
    QWEN25_RETURN_IF_ERROR(WithStore(flags, [&](BlockStore& store) -> Status {
      for (const auto& name_space : store.Stats().namespaces) {
        if (name_space.name == flags.name_space) num_blocks = name_space.num_blocks;
      }
      return store.Erase(flags.name_space);
    }));
  }
  fmt::print("erased {} dialogues and {} blocks of namespace {}; `qwen25 memory forget` erases notes\n",
             num_dialogues, num_blocks, flags.name_space);
  return {};
}

// Shows how far a job is, from its first call on; Ctrl-C stops it.
BlockProgress ShowProgress(const char* label, std::optional<Progress>& progress) {
  return [=, &progress](uint64_t done, uint64_t total) {
    if (!progress) progress.emplace(label, "blocks", total);
    progress->Update(done);
    return !InterruptGuard::requested();
  };
}

Status Export(const BlockFileFlags& flags) {
  return WithStore(flags.memory, [&](BlockStore& store) -> Status {
    const InterruptGuard guard;
    std::optional<Progress> progress;
    QWEN25_TRY(const BlockExportReport report,
               ExportBlocks(store, flags.memory.name_space, flags.file, ShowProgress("export", progress)));
    progress.reset();
    for (const std::string& line : report.damaged) fmt::print(stderr, "left out: {}\n", line);
    if (report.num_orphans > 0) {
      fmt::print(stderr, "left out: {} blocks that follow damaged or missing ones\n", report.num_orphans);
    }
    fmt::print("{}: {} blocks of namespace {}, {:.1f} MiB, not encrypted\n", flags.file, report.num_blocks,
               flags.memory.name_space, static_cast<double>(report.num_bytes) / kMiB);
    return {};
  });
}

Status Import(const BlockFileFlags& flags) {
  const InterruptGuard guard;
  QWEN25_TRY(const std::unique_ptr<BlockStore> store, OpenBlockStore(flags.memory));
  std::optional<Progress> progress;
  QWEN25_TRY(const BlockImportReport report,
             ImportBlocks(*store, flags.file, ShowProgress("import", progress)));
  progress.reset();
  fmt::print("namespace {}: {} of {} blocks are new, {} were there already\n", report.name_space,
             report.num_stored, report.num_blocks, report.num_present);
  if (report.num_removed + report.num_orphans > 0) {
    fmt::print("there was not room for all: {} blocks had to go, {} were left out; --memory-gib gives more\n",
               report.num_removed, report.num_orphans);
  }
  return {};
}

Status Pin(const MemoryPlace& flags, bool pinned) {
  return WithStore(flags, [&](BlockStore& store) -> Status {
    QWEN25_RETURN_IF_ERROR(store.Pin(flags.name_space, pinned));
    fmt::print("namespace {} is {}\n", flags.name_space,
               pinned ? "kept, whatever room others need" : "no longer kept above others");
    return {};
  });
}

}  // namespace

Status PrintBlockStats(const MemoryPlace& flags) {
  if (!HasBlockStore(flags) || SaysNotLookedAt(flags)) return {};
  return WithStore(flags, [](BlockStore& store) -> Status {
    const BlockStoreStats stats = store.Stats();
    fmt::print("blocks of keys and values {:>19}, {:.1f} MiB of {:.0f} MiB, index {:.1f} MiB{}\n",
               stats.num_blocks, static_cast<double>(stats.used_bytes) / kMiB,
               static_cast<double>(stats.max_bytes) / kMiB, static_cast<double>(stats.index_bytes) / kMiB,
               store.IsEncrypted() ? ", encrypted" : "");
    for (const BlockStoreStats::Namespace& name_space : stats.namespaces) {
      fmt::print("  namespace {:<24}{:>10}, {:.1f} MiB{}{}\n", name_space.name, name_space.num_blocks,
                 static_cast<double>(name_space.used_bytes) / kMiB,
                 name_space.num_passage_blocks == 0
                     ? ""
                     : fmt::format(", {} of them of notes", name_space.num_passage_blocks),
                 name_space.pinned ? ", pinned" : "");
    }
    return {};
  });
}

Status VerifyBlocks(const MemoryPlace& flags) {
  if (!HasBlockStore(flags) || SaysNotLookedAt(flags)) return {};
  return WithStore(flags, [](BlockStore& store) -> Status {
    const InterruptGuard guard;
    Progress progress("verify", "blocks", store.Stats().num_blocks);
    QWEN25_TRY(const BlockStoreReport report, store.Verify(ShowUntilInterrupt(progress)));
    for (const std::string& line : report.damaged) fmt::print("{}\n", line);
    fmt::print("blocks of keys and values: {} checked, {} damaged\n", report.num_checked,
               report.damaged.size());
    if (report.damaged.empty()) return {};
    return Corrupt("{} blocks are damaged; each is computed anew when it is next needed",
                   report.damaged.size());
  });
}

Status CompactBlocks(const MemoryPlace& flags) {
  if (!HasBlockStore(flags)) return {};
  return WithStore(flags, [](BlockStore& store) -> Status {
    QWEN25_TRY(const uint64_t freed, store.Compact());
    fmt::print("blocks of keys and values: {:.1f} MiB came free\n", static_cast<double>(freed) / kMiB);
    return {};
  });
}

namespace {

void AddExportCommand(CLI::App& verb, RunVerb& run) {
  const auto [sub, flags] =
      AddVerb(verb, run, "export-blocks",
              "Write a namespace's keys and values to a safetensors file, which is NOT encrypted", Export);
  AddMemoryFolderFlags(*sub, flags->memory);
  sub->add_option("--namespace", flags->memory.name_space, "Whose")->capture_default_str();
  sub->add_option("file", flags->file, "The file; replaced when the new one is complete")->required();
  sub->footer(
      "The file holds the tokens of the conversations and everything that can be told from their keys and\n"
      "values, readable by anybody, also where the memory is encrypted.\n\n"
      "Examples:\n  qwen25 memory export-blocks work.safetensors --namespace work\n"
      "  qwen25 memory export-blocks mine.safetensors --memory-key key");
}

void AddImportCommand(CLI::App& verb, RunVerb& run) {
  const auto [sub, flags] =
      AddVerb(verb, run, "import-blocks", "Add the keys and values of such a file", Import);
  AddMemoryFolderFlags(*sub, flags->memory);
  sub->add_option("--memory-gib", flags->memory.max_gib, "Most GiB of keys and values to keep on disk")
      ->check(CLI::Range(1u, 65536u))
      ->capture_default_str();
  sub->add_option("file", flags->file, "What `export-blocks` has written")->required();
  sub->footer(
      "They are added to the namespace that they were exported from, which their names belong to. Blocks "
      "that\n"
      "are there already are skipped, so that an import that was stopped can be started again.\n\n"
      "Examples:\n  qwen25 memory import-blocks work.safetensors\n"
      "  qwen25 memory import-blocks work.safetensors --memory vault --memory-key key");
}

}  // namespace

void AddBlockCommands(CLI::App& verb, RunVerb& run) {
  const auto add = [&](const char* name, const char* what, Status (*command)(const MemoryPlace&)) {
    const auto [sub, flags] = AddVerb(verb, run, name, what, command);
    AddMemoryFolderFlags(*sub, *flags);
    sub->add_option("--namespace", flags->name_space, "Whose")->required();
    sub->footer(fmt::format("Example:\n  qwen25 memory {} --namespace work", name));
  };
  add("erase", "Erase a namespace's dialogues, keys and values for good", Erase);
  add("pin", "Never remove a namespace's keys and values to make room",
      [](const MemoryPlace& flags) { return Pin(flags, true); });
  add("unpin", "Take that back", [](const MemoryPlace& flags) { return Pin(flags, false); });
  AddExportCommand(verb, run);
  AddImportCommand(verb, run);
}

}  // namespace qwen25

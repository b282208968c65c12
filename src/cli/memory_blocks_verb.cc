#include "cli/memory_blocks_verb.h"

#include <memory>

#include "base/progress.h"
#include "cli/interrupt.h"
#include "knowledge/dialogue_log.h"

namespace qwen25 {
namespace {

constexpr double kMiB = 1 << 20;

bool HasBlocks(const MemoryFlags& flags) {
  std::error_code ignored;
  return std::filesystem::is_directory(BlockStoreFolder(flags.Folder()), ignored);
}

Result<DialogueLog> OpenDialogues(const MemoryFlags& flags, const std::string& name_space) {
  QWEN25_TRY(const std::optional<std::string> key, flags.Key());
  return DialogueLog::Open(flags.Folder(), name_space, key);
}

Result<std::vector<std::string>> DialogueNamespaces(const MemoryFlags& flags) {
  QWEN25_TRY(const std::optional<std::string> key, flags.Key());
  return DialogueLog::Namespaces(flags.Folder(), key);
}

Status VerifyDialogues(const MemoryFlags& flags) {
  QWEN25_TRY(const std::vector<std::string> names, DialogueNamespaces(flags));
  size_t total = 0;
  for (const std::string& name : names) {
    QWEN25_TRY(const DialogueLog log, OpenDialogues(flags, name));
    QWEN25_TRY(const size_t count, log.Verify());
    total += count;
  }
  if (total > 0) fmt::print("dialogues: {} of them, sound\n", total);
  return {};
}

// Runs a command of a store that is there.
Status WithStore(const MemoryFlags& flags, const std::function<Status(BlockStore&)>& command) {
  if (!HasBlocks(flags)) {
    return NotFound("{}: no keys and values are stored there", flags.Folder().string());
  }
  QWEN25_TRY(const std::unique_ptr<BlockStore> store, OpenBlockStore(flags));
  return command(*store);
}

Status Erase(const MemoryFlags& flags) {
  QWEN25_TRY(const DialogueLog log, OpenDialogues(flags, flags.name_space));
  QWEN25_TRY(const size_t num_dialogues, log.Erase());
  uint64_t num_blocks = 0;
  if (HasBlocks(flags)) {
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

Status Pin(const MemoryFlags& flags, bool pinned) {
  return WithStore(flags, [&](BlockStore& store) -> Status {
    QWEN25_RETURN_IF_ERROR(store.Pin(flags.name_space, pinned));
    fmt::print("namespace {} is {}\n", flags.name_space,
               pinned ? "kept, whatever room others need" : "no longer kept above others");
    return {};
  });
}

}  // namespace

Status PrintBlockStats(const MemoryFlags& flags) {
  QWEN25_TRY(const std::vector<std::string> names, DialogueNamespaces(flags));
  for (const std::string& name : names) {
    QWEN25_TRY(const DialogueLog log, OpenDialogues(flags, name));
    fmt::print("dialogues in namespace {:<16}{:>10}{}\n", name, log.List().size(),
               flags.key_file.empty() ? "" : ", encrypted");
  }
  if (!HasBlocks(flags)) return {};
  return WithStore(flags, [](BlockStore& store) -> Status {
    const BlockStoreStats stats = store.Stats();
    fmt::print("blocks of keys and values {:>19}, {:.1f} MiB of {:.0f} MiB, index {:.1f} MiB{}\n",
               stats.num_blocks, static_cast<double>(stats.used_bytes) / kMiB,
               static_cast<double>(stats.max_bytes) / kMiB, static_cast<double>(stats.index_bytes) / kMiB,
               store.IsEncrypted() ? ", encrypted" : "");
    for (const BlockStoreStats::Namespace& name_space : stats.namespaces) {
      fmt::print("  namespace {:<24}{:>10}, {:.1f} MiB{}\n", name_space.name, name_space.num_blocks,
                 static_cast<double>(name_space.used_bytes) / kMiB, name_space.pinned ? ", pinned" : "");
    }
    return {};
  });
}

Status VerifyBlocks(const MemoryFlags& flags) {
  QWEN25_RETURN_IF_ERROR(VerifyDialogues(flags));
  if (!HasBlocks(flags)) return {};
  return WithStore(flags, [](BlockStore& store) -> Status {
    const InterruptGuard guard;
    Progress progress("verify", "blocks", store.Stats().num_blocks);
    const auto show = [&](uint64_t done, uint64_t) {
      progress.Update(done);
      return !InterruptGuard::requested();
    };
    QWEN25_TRY(const BlockStoreReport report, store.Verify(show));
    for (const std::string& line : report.damaged) fmt::print("{}\n", line);
    fmt::print("blocks of keys and values: {} checked, {} damaged\n", report.num_checked,
               report.damaged.size());
    if (report.damaged.empty()) return {};
    return Corrupt("{} blocks are damaged; each is computed anew when it is next needed",
                   report.damaged.size());
  });
}

Status CompactBlocks(const MemoryFlags& flags) {
  if (!HasBlocks(flags)) return {};
  return WithStore(flags, [](BlockStore& store) -> Status {
    QWEN25_TRY(const uint64_t freed, store.Compact());
    fmt::print("blocks of keys and values: {:.1f} MiB came free\n", static_cast<double>(freed) / kMiB);
    return {};
  });
}

void AddBlockCommands(CLI::App& verb, RunVerb& run) {
  const auto add = [&](const char* name, const char* what,
                       std::function<Status(const MemoryFlags&)> command) {
    auto flags = std::make_shared<MemoryFlags>();
    CLI::App* sub = verb.add_subcommand(name, what);
    AddMemoryFolderFlags(*sub, *flags);
    sub->add_option("--namespace", flags->name_space, "Whose")->required();
    sub->callback([flags, &run, command] { run = [flags, command] { return command(*flags); }; });
  };
  add("erase", "Erase a namespace's dialogues, keys and values for good", Erase);
  add("pin", "Never remove a namespace's keys and values to make room",
      [](const MemoryFlags& flags) { return Pin(flags, true); });
  add("unpin", "Take that back", [](const MemoryFlags& flags) { return Pin(flags, false); });
}

}  // namespace qwen25

#include "cli/memory/memory_dialogues_verb.h"

#include <functional>

#include "knowledge/dialogue/dialogue_log.h"

namespace qwen25 {
namespace {

// Calls visit(log, name) for every namespace. `damaged` gets a message for each that cannot be told.
Status ForAllLogs(const MemoryPlace& flags, std::vector<std::string>& damaged,
                  const std::function<void(const DialogueLog& log, const std::string& name)>& visit) {
  QWEN25_TRY(const std::optional<std::string> key, flags.Key());
  QWEN25_TRY(const std::vector<std::string> names, DialogueLog::Namespaces(flags.Folder(), key, &damaged));
  for (const std::string& name : names) {
    QWEN25_TRY(const DialogueLog log, DialogueLog::Open(flags.Folder(), name, key));
    visit(log, name);
  }
  return {};
}

}  // namespace

Status PrintDialogueStats(const MemoryPlace& flags) {
  std::vector<std::string> damaged;
  return ForAllLogs(flags, damaged, [&](const DialogueLog& log, const std::string& name) {
    fmt::print("dialogues in namespace {:<16}{:>10}{}\n", name, log.List().size(),
               flags.key_file.empty() ? "" : ", encrypted");
  });
}

Status VerifyDialogues(const MemoryPlace& flags) {
  std::vector<std::string> damaged;
  size_t total = 0;
  QWEN25_RETURN_IF_ERROR(ForAllLogs(flags, damaged, [&](const DialogueLog& log, const std::string&) {
    const DialogueLog::Report report = log.Verify();
    total += report.num_dialogues;
    damaged.insert(damaged.end(), report.damaged.begin(), report.damaged.end());
  }));
  for (const std::string& line : damaged) fmt::print("{}\n", line);
  if (!damaged.empty()) {
    return Corrupt("dialogues: {} checked, {} files damaged; the others are sound", total, damaged.size());
  }
  if (total > 0) fmt::print("dialogues: {} of them, sound\n", total);
  return {};
}

}  // namespace qwen25

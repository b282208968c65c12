#include "memory/spill_folder.h"

#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <optional>
#include <vector>

#include "base/file.h"

namespace qwen25 {
namespace {

// OK if files can be created in the folder.
Status CheckFolder(const std::filesystem::path& folder) {
  std::error_code ignored;
  if (!std::filesystem::is_directory(folder, ignored)) {
    return NotFound(
        "{}: there is no such folder for histories that do not fit into RAM; name one that exists",
        folder.string());
  }
  if (::access(folder.c_str(), W_OK | X_OK) == 0) return {};
  return ErrnoStatus(errno, "make files in", folder.string());
}

std::vector<std::filesystem::path> Candidates() {
  std::vector<std::filesystem::path> folders;
  const auto add = [&](const char* variable, const char* below) {
    const char* value = std::getenv(variable);
    if (value != nullptr && *value != '\0') folders.emplace_back(std::string(value) + below);
  };
  add("TMPDIR", "");
  folders.emplace_back("/tmp");
  folders.emplace_back("/var/tmp");
  add("XDG_CACHE_HOME", "");
  add("HOME", "/.cache");
  return folders;
}

}  // namespace

bool LiesInRam(const std::filesystem::path& folder) {
  struct statfs info {};
  if (::statfs(folder.c_str(), &info) != 0) return false;
  const auto type = static_cast<unsigned long>(info.f_type);
  return type == TMPFS_MAGIC || type == RAMFS_MAGIC || type == HUGETLBFS_MAGIC;
}

Result<SpillFolder> ChooseSpillFolder(const std::filesystem::path& wanted,
                                      std::span<const std::filesystem::path> candidates,
                                      const std::function<bool(const std::filesystem::path&)>& lies_in_ram) {
  constexpr const char* kRamRemark =
      "{} lies in RAM (a tmpfs): a history beyond the recall window takes RAM there; name a folder on a disk";
  if (!wanted.empty()) {
    QWEN25_RETURN_IF_ERROR(CheckFolder(wanted));
    if (!lies_in_ram(wanted)) return SpillFolder{.path = wanted};
    return SpillFolder{wanted, true, fmt::format(fmt::runtime(kRamRemark), wanted.string())};
  }
  std::optional<SpillFolder> in_ram;
  Status first_error;
  for (const std::filesystem::path& folder : candidates) {
    const Status status = CheckFolder(folder);
    if (!status.ok()) {
      if (first_error.ok()) first_error = status;
    } else if (lies_in_ram(folder)) {
      if (!in_ram) {
        in_ram = SpillFolder{folder, true, fmt::format(fmt::runtime(kRamRemark), folder.string())};
      }
    } else {
      SpillFolder chosen = {.path = folder};
      if (in_ram) {
        chosen.remark =
            fmt::format("{} lies in RAM (a tmpfs), so a history beyond the recall window lies in {}",
                        in_ram->path.string(), folder.string());
      }
      return chosen;
    }
  }
  if (in_ram) return *in_ram;
  if (first_error.ok())
    return NotFound("there is no folder for histories that do not fit into RAM; name one");
  return first_error;
}

Result<SpillFolder> ChooseSpillFolder(const std::filesystem::path& wanted) {
  return ChooseSpillFolder(wanted, Candidates(), LiesInRam);
}

}  // namespace qwen25

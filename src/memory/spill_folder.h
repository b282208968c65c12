// Where histories lie that are longer than what is kept in RAM.
#pragma once

#include <filesystem>
#include <functional>
#include <span>
#include <string>

#include "base/status.h"

namespace qwen25 {

struct SpillFolder {
  std::filesystem::path path;
  bool lies_in_ram = false;
  std::string remark;  // what a user should know of the choice; empty: nothing
};

// The folder that the user named, or, if `wanted` is empty, the first of these that can be written to and
// does not lie in RAM: $TMPDIR, /tmp, /var/tmp, $XDG_CACHE_HOME, ~/.cache. If all lie in RAM, the first that
// can be written to. kNotFound or kIo, with the folders, if there is none.
Result<SpillFolder> ChooseSpillFolder(const std::filesystem::path& wanted);

// The choice itself, for any folders.
Result<SpillFolder> ChooseSpillFolder(const std::filesystem::path& wanted,
                                      std::span<const std::filesystem::path> candidates,
                                      const std::function<bool(const std::filesystem::path&)>& lies_in_ram);

// Whether a folder is of a file system without a disk (tmpfs, ramfs). False if the system does not tell.
bool LiesInRam(const std::filesystem::path& folder);

}  // namespace qwen25

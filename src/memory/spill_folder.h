// The folder for histories that are too long to be kept in RAM.
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
  std::string remark;  // what the user should know about the choice; may be empty
};

// `wanted` if it is not empty. Otherwise the first of these folders that can be written to and does not lie
// in RAM: $TMPDIR, /tmp, /var/tmp, $XDG_CACHE_HOME, ~/.cache; if all of them lie in RAM, the first that can
// be written to. kNotFound or kIo, naming `wanted` or the first candidate, if the folder cannot be used or
// there is none.
Result<SpillFolder> ChooseSpillFolder(const std::filesystem::path& wanted);

// The same with any candidates, for tests.
Result<SpillFolder> ChooseSpillFolder(const std::filesystem::path& wanted,
                                      std::span<const std::filesystem::path> candidates,
                                      const std::function<bool(const std::filesystem::path&)>& lies_in_ram);

// Whether a folder is on a file system in RAM (tmpfs, ramfs, hugetlbfs). False if that cannot be found out.
bool LiesInRam(const std::filesystem::path& folder);

}  // namespace qwen25

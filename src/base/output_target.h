// Finds out whether an output path is a file to replace, or a device or pipe to write to.
#pragma once

#include <filesystem>

#include "base/status.h"

namespace qwen25 {

struct OutputTarget {
  // The file to replace or create, with all symbolic links resolved. Empty if `descriptor` is open.
  std::filesystem::path file;
  // Open for writing if the target is not a regular file (a device, pipe, terminal or socket) or is
  // /dev/stdout; the caller closes it. -1 otherwise.
  int descriptor = -1;
  // Permissions of the existing file; -1 if there is none.
  int mode = -1;
};

// Waits for a reader if `path` is a named pipe; a handled signal ends the wait with kCancelled. An error for
// a folder, a cycle of links, and a target that cannot be opened.
Result<OutputTarget> FindOutputTarget(const std::filesystem::path& path);

}  // namespace qwen25

// What a name for output stands for: a file to replace, or something that is written to.
#pragma once

#include <filesystem>

#include "base/status.h"

namespace qwen25 {

struct OutputTarget {
  // The file to replace or create, after all symbolic links. Empty if `descriptor` is open.
  std::filesystem::path file;
  // Whatever is not a regular file (a device, a pipe, a terminal, a socket), and /dev/stdout in every case:
  // open for writing; the caller closes it.
  int descriptor = -1;
  // The permissions that the file has today; -1: there is none.
  int mode = -1;
};

// Waits for a reader if `path` is a named pipe; a signal that is handled ends that with kCancelled. Errors
// for folders, circles of links, and what cannot be opened.
Result<OutputTarget> FindOutputTarget(const std::filesystem::path& path);

}  // namespace qwen25

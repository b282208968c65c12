#include "base/available_memory.h"

#include <algorithm>
#include <fstream>
#include <optional>
#include <string>

namespace qwen25 {
namespace {

// The number in a file of one line; nothing for "max", and if there is no such file.
std::optional<uint64_t> NumberIn(const char* path) {
  std::ifstream file(path);
  uint64_t number = 0;
  if (file >> number) return number;
  return std::nullopt;
}

std::optional<uint64_t> AvailableInSystem() {
  std::ifstream file("/proc/meminfo");
  std::string name;
  uint64_t kibibytes = 0;
  while (file >> name >> kibibytes) {
    if (name == "MemAvailable:") return kibibytes << 10;
    file.ignore(64, '\n');  // "kB"
  }
  return std::nullopt;
}

}  // namespace

uint64_t AvailableMemoryBytes() {
  uint64_t bytes = AvailableInSystem().value_or(uint64_t{1} << 30);
  const auto limit = NumberIn("/sys/fs/cgroup/memory.max"), used = NumberIn("/sys/fs/cgroup/memory.current");
  if (limit && used) bytes = std::min(bytes, *limit - std::min(*limit, *used));
  return bytes;
}

}  // namespace qwen25

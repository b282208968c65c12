#include "model/packed_cache.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "base/hash.h"

namespace qwen25 {

std::filesystem::path PackedCachePath(const std::filesystem::path& directory, WeightFormat format) {
  return directory / fmt::format("qwen25-{}.packed", WeightFormatName(format));
}

Result<std::string> PackedCacheSource(const std::filesystem::path& directory) {
  std::vector<std::string> files;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(directory, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::filesystem::path& path = entry->path();
    if (path.filename() != "config.json" && path.extension() != ".safetensors") continue;
    std::error_code entry_error;
    const auto size = entry->file_size(entry_error);
    const auto time = entry->last_write_time(entry_error).time_since_epoch();
    if (entry_error) continue;  // gone since it was listed: then loading will say so
    files.push_back(fmt::format("{} {} {}", path.filename().string(), size,
                                std::chrono::duration_cast<std::chrono::nanoseconds>(time).count()));
  }
  if (error) return NotFound("{}: cannot list the folder: {}", directory.string(), error.message());
  std::ranges::sort(files);
  const std::string all = fmt::format("{}", fmt::join(files, "\n"));
  const Hash128 hash = HashBytes128(std::as_bytes(std::span(all)));
  return fmt::format("{:016x}{:016x}", hash.high, hash.low);
}

}  // namespace qwen25

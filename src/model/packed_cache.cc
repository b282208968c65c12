#include "model/packed_cache.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "base/hash.h"
#include "model/weights_reader.h"

namespace qwen25 {

std::filesystem::path PackedCachePath(const std::filesystem::path& model_path,
                                      std::span<const WeightFormat> formats) {
  const auto count = [&](WeightFormat format) { return std::ranges::count(formats, format); };
  const WeightFormat most = *std::ranges::max_element(formats, {}, count);
  const std::string name = fmt::format("qwen25-{}.packed", WeightFormatName(most));
  return IsGgufPath(model_path) ? std::filesystem::path(model_path.string() + "." + name) : model_path / name;
}

std::string PackedCacheFormats(std::span<const WeightFormat> formats) {
  std::string names;
  for (const WeightFormat format : formats) {
    if (!names.empty()) names += ' ';
    names += WeightFormatName(format);
  }
  return names;
}

Result<std::string> PackedCacheSource(const std::filesystem::path& model_path) {
  const bool gguf = IsGgufPath(model_path);
  const std::filesystem::path directory = !gguf                          ? model_path
                                          : model_path.has_parent_path() ? model_path.parent_path()
                                                                         : ".";
  // The parts of a split model differ in "-00001-of-00003.gguf".
  constexpr size_t kPartBytes = std::string_view("-00001-of-00003.gguf").size();
  const std::string name = model_path.filename();
  const std::string prefix =
      name.size() > kPartBytes && name.find("-of-", name.size() - kPartBytes) != std::string::npos
          ? name.substr(0, name.size() - kPartBytes)
          : name;
  const auto is_source = [&](const std::filesystem::path& path) {
    if (gguf) return path.extension() == ".gguf" && path.filename().string().starts_with(prefix);
    return path.filename() == "config.json" || path.extension() == ".safetensors";
  };
  std::vector<std::string> files;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(directory, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::filesystem::path& path = entry->path();
    if (!is_source(path)) continue;
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

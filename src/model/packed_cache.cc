#include "model/packed_cache.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>

#include "base/file.h"
#include "base/mmap.h"
#include "model/weights_reader.h"

namespace qwen25 {
namespace {

// Empty if there is neither the variable nor a home.
std::filesystem::path OwnCacheFolder() {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  if (cache != nullptr && *cache == '/') return std::filesystem::path(cache) / "qwen25";
  const char* home = std::getenv("HOME");
  if (home != nullptr && *home == '/') return std::filesystem::path(home) / ".cache" / "qwen25";
  return {};
}

}  // namespace

std::filesystem::path PackedCacheFolder(const std::filesystem::path& model_path) {
  const std::filesystem::path own = OwnCacheFolder();
  if (own.empty()) return {};
  std::error_code error;
  const std::filesystem::path path = std::filesystem::absolute(model_path, error).lexically_normal();
  if (error) return {};
  const std::vector<std::filesystem::path> parts(path.begin(), path.end());
  for (size_t i = 0; i + 1 < parts.size(); ++i) {
    std::filesystem::path folder = own / "packed";
    if (parts[i + 1] == "snapshots" && parts[i].string().starts_with("models--")) {
      folder /= parts[i];
      for (size_t below = i + 2; below < parts.size(); ++below) folder /= parts[below];
      return folder.has_filename() ? folder : folder.parent_path();  // without a slash at its end
    }
    if (i + 2 == parts.size() && parts[i] == "blobs" && parts[i + 1].string().starts_with("sha256-")) {
      return folder / "ollama" / parts[i + 1];
    }
  }
  return {};
}

std::filesystem::path PackedCachePath(const std::filesystem::path& model_path,
                                      std::span<const WeightFormat> formats) {
  const auto count = [&](WeightFormat format) { return std::ranges::count(formats, format); };
  const WeightFormat most = *std::ranges::max_element(formats, {}, count);
  const std::string name = fmt::format("qwen25-{}.packed", WeightFormatName(most));
  if (const std::filesystem::path folder = PackedCacheFolder(model_path); !folder.empty())
    return folder / name;
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

Result<std::vector<std::filesystem::path>> PackedCacheSources(const std::filesystem::path& model_path) {
  const bool gguf = IsGgufPath(model_path);
  if (gguf && model_path.extension() != ".gguf") return std::vector{model_path};
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
    return path.filename() == "config.json" || path.filename() == "model.safetensors.index.json" ||
           path.extension() == ".safetensors";
  };
  std::vector<std::filesystem::path> files;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(directory, error), end; !error && entry != end;
       entry.increment(error)) {
    if (is_source(entry->path())) files.push_back(entry->path());
  }
  if (error) return NotFound("{}: cannot list the folder: {}", directory.string(), error.message());
  std::ranges::sort(files);
  return files;
}

Result<std::string> StateOfFiles(std::span<const std::filesystem::path> files) {
  std::string state;
  for (const std::filesystem::path& file : files) {
    struct stat info;
    if (::stat(file.c_str(), &info) != 0) return ErrnoStatus(errno, "look at", file.string());
    const auto nanoseconds = [](const timespec& time) {
      return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
    };
    state += fmt::format("{} {} {} {} {}\n", file.filename().string(), info.st_ino, info.st_size,
                         nanoseconds(info.st_mtim), nanoseconds(info.st_ctim));
  }
  return state;
}

std::string HashOfParts(std::span<const std::span<const std::byte>> parts, ThreadPool& threads) {
  constexpr size_t kPiece = size_t{1} << 20;
  std::vector<std::span<const std::byte>> pieces;
  for (const std::span<const std::byte> part : parts) {
    for (size_t begin = 0; begin < part.size(); begin += kPiece) {
      pieces.push_back(part.subspan(begin, std::min(kPiece, part.size() - begin)));
    }
  }
  std::vector<Hash128> hashes(pieces.size());
  threads.ParallelFor(pieces.size(), [&](size_t i, size_t) { hashes[i] = HashBytes128(pieces[i]); });
  for (const std::span<const std::byte> part : parts) hashes.push_back({part.size(), 0});
  const Hash128 hash = CombineHashes(hashes);
  return fmt::format("{:016x}{:016x}", hash.high, hash.low);
}

Result<std::string> HashOfFiles(std::span<const std::filesystem::path> files, ThreadPool& threads) {
  std::vector<std::string> names;
  std::vector<MappedFile> contents;
  for (const std::filesystem::path& file : files) {
    QWEN25_TRY(MappedFile content, MappedFile::Open(file));
    names.push_back(file.filename().string());
    contents.push_back(std::move(content));
  }
  std::vector<std::span<const std::byte>> parts;
  for (size_t i = 0; i < names.size(); ++i) {
    parts.push_back(std::as_bytes(std::span(names[i])));
    parts.push_back(contents[i].bytes());
  }
  return HashOfParts(parts, threads);
}

namespace {

std::filesystem::path CheckedPath(const std::filesystem::path& cache) {
  return cache.string() + ".checked";
}

// The state of a cache file and of the files it was made from.
Result<std::string> StateOfAll(const std::filesystem::path& cache,
                               std::vector<std::filesystem::path> sources) {
  sources.push_back(cache);
  return StateOfFiles(sources);
}

bool Holds(const SafetensorsReader& file, const char* key, std::string_view value) {
  const auto found = file.metadata().find(key);
  return found != file.metadata().end() && found->second == value;
}

}  // namespace

Status CheckPackedCache(const std::filesystem::path& cache, const std::filesystem::path& model_path,
                        const SafetensorsReader& file, ThreadPool& threads) {
  QWEN25_TRY(const std::vector<std::filesystem::path> sources, PackedCacheSources(model_path));
  // Taken before the files are read: if one changes meanwhile, the next start sees another state.
  QWEN25_TRY(const std::string state, StateOfAll(cache, sources));
  const Result<std::string> checked = ReadFile(CheckedPath(cache));
  if (checked.ok() && *checked == state) return {};
  QWEN25_TRY(const std::string source, HashOfFiles(sources, threads));
  if (!Holds(file, "source", source)) return NotFound("{}: was made from other weights", cache.string());
  std::vector<std::span<const std::byte>> parts;
  for (const TensorInfo& tensor : file.tensors()) parts.push_back(tensor.bytes);
  if (!Holds(file, "content", HashOfParts(parts, threads))) {
    return Corrupt("{}: the content does not match the hash in its metadata; the file is damaged",
                   cache.string());
  }
  (void)WriteFileAtomically(CheckedPath(cache), state);  // best effort: the folder may be read-only
  return {};
}

void RememberPackedCache(const std::filesystem::path& cache, const std::filesystem::path& model_path) {
  const auto sources = PackedCacheSources(model_path);
  if (!sources.ok()) return;
  if (const auto state = StateOfAll(cache, *sources); state.ok()) {
    (void)WriteFileAtomically(CheckedPath(cache), *state);
  }
}

}  // namespace qwen25

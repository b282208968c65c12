#include "knowledge/memory_folder.h"

#include <unistd.h>

#include <cstdlib>

#include "base/file.h"

namespace qwen25 {
namespace {

constexpr size_t kKeyBytes = 32;

// A key of 32 bytes, or as 64 hexadecimal digits, which line ends may follow.
Result<std::string> ReadKey(const std::string& path) {
  QWEN25_TRY(std::string text, ReadFile(path));
  if (text.size() == kKeyBytes) return text;
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  std::string key;
  const auto digit = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
  };
  for (size_t i = 0; i + 1 < text.size() && digit(text[i]) >= 0 && digit(text[i + 1]) >= 0; i += 2) {
    key += static_cast<char>(16 * digit(text[i]) + digit(text[i + 1]));
  }
  if (key.size() != kKeyBytes || text.size() != 2 * kKeyBytes) {
    return InvalidArgument(
        "{}: expected a key of {} bytes, or of {} hexadecimal digits; `head -c 32 /dev/urandom > FILE` makes "
        "one",
        path, kKeyBytes, 2 * kKeyBytes);
  }
  return key;
}

std::filesystem::path BlockStoreFolder(const std::filesystem::path& memory) {
  return memory / "kv";
}

}  // namespace

std::string DefaultMemoryDirectory() {
  const auto variable = [](const char* name) -> std::string {
    const char* value = std::getenv(name);
    return value == nullptr ? "" : value;
  };
  if (std::string own = variable("QWEN25_MEMORY"); !own.empty()) return own;
  // Relative paths are ignored, as the XDG specification demands: a memory must not depend on the folder in
  // which a program is started.
  if (const std::string data = variable("XDG_DATA_HOME"); data.starts_with('/')) {
    return data + "/qwen25/memory";
  }
  const std::string home = variable("HOME");
  return home.starts_with('/') ? home + "/.local/share/qwen25/memory" : "";
}

std::filesystem::path MemoryPlace::Folder() const {
  return folder.empty() ? DefaultMemoryDirectory() : folder;
}

Status MemoryPlace::CheckFolder() const {
  if (!Folder().empty()) return {};
  return InvalidArgument(
      "there is no folder for a memory: neither QWEN25_MEMORY, XDG_DATA_HOME nor HOME is set; give --memory "
      "FOLDER");
}

bool MemoryPlace::CanOnlyBeRead() const {
  const std::filesystem::path path = Folder();
  return ::access(path.c_str(), F_OK) == 0 && ::access(path.c_str(), W_OK | X_OK) != 0;
}

Result<std::optional<std::string>> MemoryPlace::Key() const {
  if (key_file.empty()) return std::optional<std::string>();
  QWEN25_TRY(std::string key, ReadKey(key_file));
  return std::optional(std::move(key));
}

bool HasBlockStore(const MemoryPlace& place) {
  std::error_code ignored;
  const std::filesystem::path folder = place.Folder();
  return !folder.empty() && std::filesystem::is_directory(BlockStoreFolder(folder), ignored);
}

Result<std::unique_ptr<BlockStore>> OpenBlockStore(const MemoryPlace& place) {
  QWEN25_RETURN_IF_ERROR(place.CheckFolder());
  BlockStore::Options options = {.max_bytes = uint64_t{place.max_gib} << 30};
  QWEN25_TRY(options.key, place.Key());
  const std::filesystem::path folder = BlockStoreFolder(place.Folder());
  QWEN25_RETURN_IF_ERROR(CreateDirectories(folder));
  QWEN25_TRY(BlockStore store, BlockStore::Open(folder, options));
  return std::make_unique<BlockStore>(std::move(store));
}

Result<LoadedNotes> OpenNotes(const MemoryPlace& place, EmbedderChoice choice, bool need_vectors,
                              NoteStoreOptions options) {
  QWEN25_RETURN_IF_ERROR(place.CheckFolder());
  QWEN25_TRY(options.key, place.Key());
  const std::filesystem::path directory = place.Folder();
  const bool asked = !choice.embedder.empty();
  if (!asked && !need_vectors) choice.embedder = "none";
  if (!asked && need_vectors && NoteStore::Exists(directory)) {
    QWEN25_TRY(const auto store, NoteStore::Open(directory, nullptr, options));
    QWEN25_TRY(const std::optional<EmbedderId> stored, store->StoredEmbedder());
    QWEN25_TRY(const std::string setting, store->GetSetting("embedder_flags"));
    if (stored && !EmbedderFromSetting(setting, choice)) {
      return InvalidArgument(
          "{}: its vectors were made by {}; name that embedder with --embedder, or give --embedder none",
          directory.string(), stored->ToString());
    }
  }
  LoadedNotes notes;
  QWEN25_TRY(notes.embedder, LoadEmbedder(choice));
  QWEN25_TRY(notes.store, NoteStore::Open(directory, notes.embedder.embedder.get(), options));
  if (notes.embedder.embedder != nullptr && !notes.store->read_only()) {
    QWEN25_TRY(const std::string setting, notes.store->GetSetting("embedder_flags"));
    if (setting != EmbedderSetting(choice)) {
      QWEN25_RETURN_IF_ERROR(notes.store->SetSetting("embedder_flags", EmbedderSetting(choice)));
    }
  }
  return notes;
}

}  // namespace qwen25

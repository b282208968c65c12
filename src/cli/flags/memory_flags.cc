#include "cli/flags/memory_flags.h"

#include <unistd.h>

#include "base/file.h"
#include "cli/flags/embedder_flags.h"

namespace qwen25 {
namespace {

constexpr size_t kKeyBytes = 32;

// 32 bytes, or the same as 64 hexadecimal digits and a line's end.
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

// Where KV blocks lie in a memory folder.
std::filesystem::path BlockStoreFolder(const std::filesystem::path& memory) {
  return memory / "kv";
}

}  // namespace

std::filesystem::path MemoryFlags::Folder() const {
  return folder.empty() ? DefaultMemoryDirectory() : folder;
}

Result<std::optional<std::string>> MemoryFlags::Key() const {
  if (key_file.empty()) return std::optional<std::string>();
  QWEN25_TRY(std::string key, ReadKey(key_file));
  return std::optional(std::move(key));
}

bool HasBlockStore(const MemoryFlags& flags) {
  std::error_code ignored;
  return std::filesystem::is_directory(BlockStoreFolder(flags.Folder()), ignored);
}

bool CanOnlyBeRead(const MemoryFlags& flags) {
  const std::filesystem::path folder = flags.Folder();
  return ::access(folder.c_str(), F_OK) == 0 && ::access(folder.c_str(), W_OK | X_OK) != 0;
}

void AddMemoryFolderFlags(CLI::App& verb, MemoryFlags& flags) {
  verb.add_option("--memory", flags.folder,
                  "Folder of the memory; default: $QWEN25_MEMORY, else qwen25/memory in $XDG_DATA_HOME or "
                  "~/.local/share");
  AddMemoryKeyFlag(verb, flags);
  verb.parse_complete_callback([&flags] {
    if (flags.off || !flags.Folder().empty()) return;
    throw CLI::ValidationError(
        "--memory",
        "there is no folder for a memory: neither QWEN25_MEMORY, XDG_DATA_HOME nor HOME "
        "is set; give --memory FOLDER");
  });
}

void AddMemoryKeyFlag(CLI::App& verb, MemoryFlags& flags) {
  verb.add_option(
      "--memory-key", flags.key_file,
      "File with the 32 bytes that notes, dialogues, keys and values are encrypted with, from the "
      "first on; default: not encrypted");
}

void AddMemoryFlags(CLI::App& verb, MemoryFlags& flags, bool needs_folder) {
  AddMemoryFolderFlags(verb, flags);
  if (!needs_folder) verb.parse_complete_callback([] {});
  verb.add_option("--namespace", flags.name_space, "Whose memory: nothing passes from one to another")
      ->capture_default_str();
  verb.add_option("--memory-gib", flags.max_gib, "Most GiB of keys and values to keep on disk")
      ->check(CLI::Range(1u, 65536u))
      ->capture_default_str();
  verb.add_flag("--no-memory", flags.off, "Remember nothing, and use nothing that is remembered");
}

Result<std::unique_ptr<BlockStore>> OpenBlockStore(const MemoryFlags& flags) {
  BlockStore::Options options = {.max_bytes = uint64_t{flags.max_gib} << 30};
  QWEN25_TRY(options.key, flags.Key());
  const std::filesystem::path folder = BlockStoreFolder(flags.Folder());
  QWEN25_RETURN_IF_ERROR(CreateDirectories(folder));
  QWEN25_TRY(BlockStore store, BlockStore::Open(folder, options));
  return std::make_unique<BlockStore>(std::move(store));
}

std::unique_ptr<BlockStore> AttachBlockStore(const MemoryFlags& flags, InferenceEngine& engine) {
  if (flags.off) return nullptr;
  if (CanOnlyBeRead(flags)) {
    fmt::print(stderr,
               "note: {}: this memory can only be read: what it holds is used, and nothing is added\n",
               flags.Folder().string());
    return nullptr;
  }
  Result<std::unique_ptr<BlockStore>> store = OpenBlockStore(flags);
  if (!store.ok()) {
    fmt::print(stderr, "note: going on without memory of keys and values: {}\n", store.status().message());
    return nullptr;
  }
  engine.SetStore(store->get());
  return std::move(*store);
}

std::string ReuseSummary(const PrefixReuse& reuse, size_t num_prompt_tokens) {
  std::string text = fmt::format("{} of {} prompt tokens were known", reuse.total(), num_prompt_tokens);
  if (reuse.stored > 0) text += fmt::format(", {} of them from memory", reuse.stored);
  if (reuse.shared > 0) text += fmt::format(", {} of them from other sessions", reuse.shared);
  return text;
}

}  // namespace qwen25

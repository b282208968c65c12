#include "cli/flags/memory_flags.h"

#include "store/namespace_name.h"

namespace qwen25 {

void AddMemoryFolderFlags(CLI::App& verb, MemoryPlace& place) {
  verb.add_option("--memory", place.folder,
                  "Folder of the memory; default: $QWEN25_MEMORY, else qwen25/memory in $XDG_DATA_HOME or "
                  "~/.local/share");
  AddMemoryKeyFlag(verb, place);
  verb.parse_complete_callback([&place] {
    if (place.off || !place.Folder().empty()) return;
    throw CLI::ValidationError(
        "--memory",
        "there is no folder for a memory: neither QWEN25_MEMORY, XDG_DATA_HOME nor HOME "
        "is set; give --memory FOLDER");
  });
}

void AddMemoryKeyFlag(CLI::App& verb, MemoryPlace& place) {
  verb.add_option(
      "--memory-key", place.key_file,
      "File with the 32 bytes that notes, dialogues, keys and values are encrypted with, from the "
      "first on; default: not encrypted");
}

void AddMemoryFlags(CLI::App& verb, MemoryPlace& place, bool needs_folder) {
  AddMemoryFolderFlags(verb, place);
  if (!needs_folder) verb.parse_complete_callback([] {});
  verb.add_option("--namespace", place.name_space, "Whose memory: nothing passes from one to another")
      ->capture_default_str();
  verb.add_option("--memory-gib", place.max_gib, "Most GiB of keys and values to keep on disk")
      ->check(CLI::Range(1u, 65536u))
      ->capture_default_str();
  verb.add_flag("--no-memory", place.off, "Remember nothing, and use nothing that is remembered");
}

void CheckNamespaces(CLI::App& app) {
  if (CLI::Option* option = app.get_option_no_throw("--namespace"); option != nullptr) {
    option->check(CLI::Validator(
        [](const std::string& name) {
          const Status status = CheckNamespace(name);
          return std::string(status.ok() ? "" : status.message());
        },
        ""));
  }
  for (CLI::App* verb : app.get_subcommands({})) CheckNamespaces(*verb);
}

std::unique_ptr<BlockStore> AttachBlockStore(const MemoryPlace& place, InferenceEngine& engine) {
  if (place.off) return nullptr;
  if (place.CanOnlyBeRead()) {
    fmt::print(stderr,
               "note: {}: this memory can only be read: what it holds is used, and nothing is added\n",
               place.Folder().string());
    return nullptr;
  }
  Result<std::unique_ptr<BlockStore>> store = OpenBlockStore(place);
  if (!store.ok()) {
    fmt::print(stderr, "note: going on without memory of keys and values: {}\n", store.status().message());
    return nullptr;
  }
  engine.SetStore(store->get());
  return std::move(*store);
}

}  // namespace qwen25

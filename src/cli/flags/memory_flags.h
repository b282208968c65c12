// The memory folder that a verb uses a model with.
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "infer/session.h"
#include "memory/block_store.h"

namespace qwen25 {

struct MemoryFlags {
  std::string folder;  // empty: the default
  std::string name_space = "default";
  std::string key_file;
  uint32_t max_gib = 16;
  bool off = false;

  std::filesystem::path Folder() const;  // empty only if the verb needs none
  // What --memory-key names; nothing where it is not given. Errors of the file.
  Result<std::optional<std::string>> Key() const;
};
// `needs_folder` false: the verb has no memory unless --memory is given.
void AddMemoryFlags(CLI::App& verb, MemoryFlags& flags, bool needs_folder = true);
// Of these, --memory and --memory-key alone.
void AddMemoryFolderFlags(CLI::App& verb, MemoryFlags& flags);
// Of these, --memory-key alone.
void AddMemoryKeyFlag(CLI::App& verb, MemoryFlags& flags);

// The KV blocks of a memory folder. Errors of BlockStore::Open, and of the key file.
Result<std::unique_ptr<BlockStore>> OpenBlockStore(const MemoryFlags& flags);
// Whether the folder has such blocks.
bool HasBlockStore(const MemoryFlags& flags);
// Whether the folder is there and nothing can be written to it.
bool CanOnlyBeRead(const MemoryFlags& flags);

// The same, given to an engine, which it must outlive. Null, with a note on standard error, where the folder
// cannot be used: what a model can do without a memory goes on without.
std::unique_ptr<BlockStore> AttachBlockStore(const MemoryFlags& flags, InferenceEngine& engine);

// "8192 of 8200 prompt tokens were known: 8192 from memory".
std::string ReuseSummary(const PrefixReuse& reuse, size_t num_prompt_tokens);

}  // namespace qwen25

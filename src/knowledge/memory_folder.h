// The folder of a memory: where it is, whose part of it is used, and its parts, opened.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "knowledge/load_embedder.h"
#include "knowledge/note_store.h"
#include "memory/block_store.h"

namespace qwen25 {

struct MemoryPlace {
  std::string folder;  // empty: DefaultMemoryDirectory
  std::string name_space = "default";
  std::string key_file;  // empty: not encrypted
  uint32_t max_gib = 16;
  bool off = false;  // nothing is remembered, and nothing that is remembered is used

  // Empty if `folder` is, and there is no default.
  std::filesystem::path Folder() const;
  // kInvalidArgument if it is empty.
  Status CheckFolder() const;
  // Whether the folder is there and nothing can be written to it.
  bool CanOnlyBeRead() const;
  // What the key file holds; nothing without one. Errors of the file.
  Result<std::optional<std::string>> Key() const;
};

// QWEN25_MEMORY, else qwen25/memory in the user's folder for data (XDG). Empty if the environment names
// neither that nor a home.
std::string DefaultMemoryDirectory();

// The KV blocks of a memory folder. Errors of BlockStore::Open, and of the key file.
Result<std::unique_ptr<BlockStore>> OpenBlockStore(const MemoryPlace& place);
// Whether the folder has such blocks.
bool HasBlockStore(const MemoryPlace& place);

// The embedder of an open store with all that must outlive it.
struct LoadedNotes {
  LoadedEmbedder embedder;
  std::unique_ptr<NoteStore> store;
};
// Opens the notes of a memory folder with the requested embedder, else with the one that its vectors
// were made with, else with "hashed". `need_vectors` false: without one, unless it is requested. Of `options`
// the key is the place's.
Result<LoadedNotes> OpenNotes(const MemoryPlace& place, EmbedderChoice choice, bool need_vectors,
                              NoteStoreOptions options = {});

}  // namespace qwen25

// The folder of a memory: where it is, which namespace is used, and how its stores are opened.
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
  bool off = false;  // the memory is neither read nor written

  // `folder`, or the default; empty if there is neither.
  std::filesystem::path Folder() const;
  // kInvalidArgument if Folder() is empty.
  Status CheckFolder() const;
  // Whether the folder exists and cannot be written to.
  bool CanOnlyBeRead() const;
  // The 32 bytes of the key; nothing if no key file is set. kInvalidArgument if the file does not hold a key;
  // errors of reading it.
  Result<std::optional<std::string>> Key() const;
};

// $QWEN25_MEMORY, else qwen25/memory in $XDG_DATA_HOME, else in ~/.local/share. Empty if none of these is
// known.
std::string DefaultMemoryDirectory();

// The KV blocks of a memory folder. Errors of BlockStore::Open, and of the key file.
Result<std::unique_ptr<BlockStore>> OpenBlockStore(const MemoryPlace& place);
// Whether the folder has a store of KV blocks.
bool HasBlockStore(const MemoryPlace& place);

// The embedder of an open store with all that must outlive it.
struct LoadedNotes {
  LoadedEmbedder embedder;
  std::unique_ptr<NoteStore> store;
};
// Opens the notes of a memory folder with the requested embedder; if none is requested and `need_vectors`,
// with the one that made the vectors, or "hashed" if there are none; else without one. The key comes from
// `place`, not from `options`. kInvalidArgument if the vectors' embedder has to be named (a program).
Result<LoadedNotes> OpenNotes(const MemoryPlace& place, EmbedderChoice choice, bool need_vectors,
                              NoteStoreOptions options = {});

}  // namespace qwen25

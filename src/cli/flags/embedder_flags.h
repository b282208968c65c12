// Which embeddings a verb uses, and where the memory lies.
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>
#include <string>

#include "infer/load_model.h"
#include "knowledge/embedder.h"
#include "knowledge/note_store.h"

namespace qwen25 {

struct EmbedderFlags {
  std::string embedder;  // "", "hashed", "none", "model:FOLDER", "command:PROGRAM"
  std::string pooling = "bidirectional-mean";
  std::string weights = "stored";
  uint32_t window = 512;
};
void AddEmbedderFlags(CLI::App& verb, EmbedderFlags& flags);

// An embedder with what it needs to live. `embedder` is null for "none".
struct LoadedEmbedder {
  std::unique_ptr<LoadedModel> model;
  std::unique_ptr<Embedder> embedder;
};
Result<LoadedEmbedder> LoadEmbedder(const EmbedderFlags& flags);

// "hashed", or "model:/absolute/path causal-mean 512 stored": enough for a later run to load the same. Empty
// for programs, which are never started because a file says so.
std::string EmbedderSetting(const EmbedderFlags& flags);

// The embedder of an open store with all that must outlive it.
struct LoadedNotes {
  LoadedEmbedder embedder;
  std::unique_ptr<NoteStore> store;
};
// Opens the notes of a memory folder with the embedder that is asked for, else with the one that its vectors
// were made with, else with "hashed". `need_vectors` false: without one, unless it is asked for.
Result<LoadedNotes> OpenNotes(const std::filesystem::path& directory, EmbedderFlags flags, bool need_vectors,
                              const NoteStoreOptions& options = {});

// QWEN25_MEMORY, else qwen25/memory in the user's folder for data (XDG). Empty if the environment names
// neither that nor a home.
std::string DefaultMemoryDirectory();

}  // namespace qwen25

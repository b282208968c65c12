// The memory folder that a verb uses a model with, as flags.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>

#include "infer/engine.h"
#include "knowledge/memory_folder.h"

namespace qwen25 {

// `needs_folder` false: the verb has no memory unless --memory is given.
void AddMemoryFlags(CLI::App& verb, MemoryPlace& place, bool needs_folder = true);
// Of these, --memory and --memory-key alone.
void AddMemoryFolderFlags(CLI::App& verb, MemoryPlace& place);
// Of these, --memory-key alone.
void AddMemoryKeyFlag(CLI::App& verb, MemoryPlace& place);

// Every --namespace of `app` and of the verbs below it must then be a name: an empty one, such as that of a
// shell variable that is not set, would mean no namespace in one place and all of them in another.
void CheckNamespaces(CLI::App& app);

// The KV blocks of the folder, given to an engine, which they must outlive. Null, with a note on standard
// error, if the folder cannot be used: what a model can do without a memory goes on without.
std::unique_ptr<BlockStore> AttachBlockStore(const MemoryPlace& place, InferenceEngine& engine);

}  // namespace qwen25

// Stores notes as KV blocks of their namespace, which attention recalls.
#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/hash.h"
#include "infer/load_model.h"
#include "knowledge/memory_folder.h"
#include "knowledge/note_passages.h"
#include "memory/block_store.h"

namespace qwen25 {

// Which notes are stored as blocks.
struct StoredNotes {
  std::unordered_map<Hash128, int64_t, Hash128Hasher> by_passage;  // note of a stored passage
  std::set<int64_t> whole;                                         // notes of which all chunks are stored
  size_t num_stored = 0, num_wanted = 0;                           // chunks
  Status status = {};                                              // why not all are stored
};

// Computes and stores the passages that the engine's store does not hold yet, and removes the blocks of all
// other notes of the namespace. `progress(done, total)`, which may be null, counts chunks; if it returns
// false, the call stops, and the next one goes on from there.
Result<StoredNotes> StoreNotesAsBlocks(const LoadedModel& model, const std::string& name_space,
                                       const std::vector<NotePassage>& passages,
                                       const std::function<bool(size_t done, size_t total)>& progress);

// Removes the blocks of notes that the namespace no longer holds, or that are superseded. `erase`: without a
// trace.
Status RemoveForgottenNotes(BlockStore& blocks, NoteStore& notes, const std::string& name_space, bool erase);
// The same in all namespaces of a memory folder. If its blocks cannot be opened, because another process uses
// them, that is an error with `erase`. Without, `later` says so, and the blocks go when that process starts
// again.
Status RemoveForgottenNotes(const MemoryPlace& place, NoteStore& notes, bool erase, Status& later);

}  // namespace qwen25

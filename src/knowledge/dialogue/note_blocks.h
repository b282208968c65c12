// Notes as KV blocks of their namespace, which attention recalls.
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

// The notes whose blocks are there.
struct StoredNotes {
  std::unordered_map<Hash128, int64_t, Hash128Hasher> by_passage;  // by the names of their passages
  std::set<int64_t> whole;                                         // those of which all chunks are
  size_t num_stored = 0, num_wanted = 0;                           // chunks
  Status status = {};                                              // why not all are
};

// Computes what the engine's store does not hold of them yet, and removes the blocks of all other notes of
// the namespace. `progress(done, total)`, which may be null, counts chunks; returning false stops, and the
// next call goes on. A note of several chunks is in the result if all of them are.
Result<StoredNotes> StoreNotesAsBlocks(const LoadedModel& model, const std::string& name_space,
                                       const std::vector<NotePassage>& passages,
                                       const std::function<bool(size_t done, size_t total)>& progress);

// Removes the blocks of what is no longer among a namespace's notes, or no longer true. `erase`: without a
// trace.
Status RemoveForgottenNotes(BlockStore& blocks, NoteStore& notes, const std::string& name_space, bool erase);
// The same in all namespaces of a memory folder. If its blocks are in use by another process, that is an
// error with `erase`; without, the blocks go when that process starts again, and `later` says why.
Status RemoveForgottenNotes(const MemoryPlace& place, NoteStore& notes, bool erase, Status& later);

}  // namespace qwen25

// Notes as KV blocks of their namespace, which attention recalls.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/hash.h"
#include "cli/flags/memory_flags.h"
#include "infer/load_model.h"
#include "knowledge/note_passages.h"
#include "memory/block_store.h"

namespace qwen25 {

// The notes whose blocks are there.
struct StoredNotes {
  std::unordered_map<Hash128, int64_t, Hash128Hasher> by_passage;  // by the names of their passages
  std::set<int64_t> whole;                                         // those of which all chunks are
};

// Computes what the engine's store does not hold of them yet, and removes the blocks of all other notes of
// the namespace. Shows progress; Ctrl-C stops, and the next call goes on. Says what it did where that was
// much, and why not all of them are there. A note of several chunks is in the result if all of them are.
Result<StoredNotes> StoreNotesAsBlocks(const LoadedModel& model, const std::string& name_space,
                                       const std::vector<NotePassage>& passages);

// Removes the blocks of what is no longer among a namespace's notes, or no longer true. `erase`: without a
// trace.
Status RemoveForgottenNotes(BlockStore& blocks, NoteStore& notes, const std::string& name_space, bool erase);
// The same in all namespaces of a memory folder. Where its blocks are in use by another process, that is
// an error with `erase`, and a remark on standard error without.
Status RemoveForgottenNotes(const MemoryFlags& memory, NoteStore& notes, bool erase);

}  // namespace qwen25

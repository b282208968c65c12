// Notes as passages, which a model reads before any question (infer/passages.h).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <unordered_set>
#include <vector>

#include "base/hash.h"
#include "base/status.h"
#include "knowledge/note_store.h"

namespace qwen25 {

// A chunk of a note.
struct NotePassage {
  int64_t note = 0;
  Hash128 name;          // a hash of the note, place in it, creation time and text
  std::string text;      // what the model reads
  bool is_turn = false;  // encoded as a user's turn (EncodeTurn), not as plain text
};

// All chunks of a namespace's notes that are not superseded. Their text is NoteLine; with `as_turns` it is
// read as a user's turn, as in the dialogues that recall it.
Result<std::vector<NotePassage>> NotePassages(NoteStore& store, const std::string& name_space,
                                              std::span<const std::string> control_texts, bool as_turns);

// The names of these passages.
Result<std::unordered_set<Hash128, Hash128Hasher>> NotePassageNames(NoteStore& store,
                                                                    const std::string& name_space);

}  // namespace qwen25

// Notes as passages that a model reads before anybody asks (infer/passages.h).
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
  Hash128 name;          // another one for another note, place in it, or text
  std::string text;      // what the model reads
  bool is_turn = false;  // as a user's turn of the chat template (EncodeTurn), not as it is
};

// All chunks of the notes of a namespace that are true. The text is NoteLine; with `as_turns` it is read as a
// user's turn, as in the dialogues that it is recalled for.
Result<std::vector<NotePassage>> NotePassages(NoteStore& store, const std::string& name_space,
                                              std::span<const std::string> control_texts, bool as_turns);

// Their names alone.
Result<std::unordered_set<Hash128, Hash128Hasher>> NotePassageNames(NoteStore& store,
                                                                    const std::string& name_space);

}  // namespace qwen25

// Notes from one memory to another: as JSON lines, an object (NoteToJson) each.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "knowledge/note_store.h"

namespace qwen25 {

// Passes the notes of a filter to `write` line by line, which ends in a newline. Returns how many there were.
Result<size_t> ExportNotes(NoteStore& store, const NoteFilter& filter,
                           const std::function<Status(std::string_view line)>& write);

// The notes in such lines. Errors name `origin`, the line and the member.
Result<std::vector<Note>> ParseNoteLines(std::string_view lines, std::string_view origin);

// Adds notes to a store. Ids are given anew; who supersedes whom is kept. `progress` gets the notes that are
// done; returning false stops (kCancelled), and what was added stays.
Status ImportNotes(std::span<const Note> notes, NoteStore& store,
                   const std::function<bool(size_t num_done)>& progress = nullptr);

}  // namespace qwen25

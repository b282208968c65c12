#include "knowledge/note_transfer.h"

#include <cstdint>
#include <map>
#include <optional>
#include <utility>

namespace qwen25 {
namespace {

NewNote AsNew(const Note& note) {
  NewNote added;
  added.text = note.text;
  added.name_space = note.name_space;
  added.title = note.title;
  added.source = note.source;
  added.speaker = note.speaker;
  added.session = note.session;
  added.tags = note.tags;
  added.created_ms = note.created_ms;
  return added;
}

}  // namespace

Result<size_t> ExportNotes(NoteStore& store, const NoteFilter& filter,
                           const std::function<Status(std::string_view line)>& write) {
  QWEN25_TRY(const std::vector<Note> list, store.List(filter));
  for (const Note& entry : list) {
    QWEN25_TRY(const Note note, store.Get(entry.id));
    QWEN25_RETURN_IF_ERROR(write(DumpJson(NoteToJson(note)) + "\n"));
  }
  return list.size();
}

Result<std::vector<Note>> ParseNoteLines(std::string_view lines, std::string_view origin) {
  std::vector<Note> notes;
  JsonLines values(lines, origin);
  while (true) {
    QWEN25_TRY(const std::optional<Json> value, values.Next());
    if (!value) return notes;
    QWEN25_TRY(Note note, NoteFromJson(*value, values.origin()));
    notes.push_back(std::move(note));
  }
}

Status ImportNotes(std::span<const Note> notes, NoteStore& store,
                   const std::function<bool(size_t num_done)>& progress) {
  std::map<int64_t, int64_t> new_ids;                   // of notes in the lines
  std::map<int64_t, std::vector<int64_t>> waiting_for;  // notes that one which is still to come supersedes
  // As soon as both are there: the same text may come again and be true then. Equal texts become one note.
  const auto mark = [&](int64_t old_note, int64_t new_note) -> Status {
    return old_note == new_note ? Status() : store.MarkSuperseded(old_note, new_note);
  };
  for (size_t i = 0; i < notes.size(); ++i) {
    if (progress && !progress(i)) {
      return Cancelled("stopped after {} of {} notes; they stay", i, notes.size());
    }
    const Note& note = notes[i];
    QWEN25_TRY(const int64_t id, store.Add(AsNew(note)));
    new_ids[note.id] = id;
    for (const int64_t waiting : waiting_for[note.id]) QWEN25_RETURN_IF_ERROR(mark(waiting, id));
    if (!note.superseded_by) continue;
    const auto by = new_ids.find(*note.superseded_by);
    if (by == new_ids.end()) {
      waiting_for[*note.superseded_by].push_back(id);
    } else {
      QWEN25_RETURN_IF_ERROR(mark(id, by->second));
    }
  }
  return {};
}

}  // namespace qwen25

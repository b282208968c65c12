#include "cli/memory/memory_notes_verb.h"

#include "cli/flags/model_flags.h"
#include "cli/memory/note_flags.h"

namespace qwen25 {
namespace {

// For what needs no vectors. Null: the folder holds no notes.
Result<std::unique_ptr<NoteStore>> OpenIfThere(const MemoryPlace& memory) {
  if (!NoteStore::Exists(memory.Folder())) return std::unique_ptr<NoteStore>();
  NoteStoreOptions options;
  QWEN25_TRY(options.key, memory.Key());
  return NoteStore::Open(memory.Folder(), nullptr, options);
}

}  // namespace

Result<LoadedNotes> OpenNotes(const NoteFlags& flags, bool need_vectors) {
  QWEN25_TRY(LoadedNotes notes, OpenNotes(flags.memory, flags.embedder, need_vectors));
  PrintNotes(notes.embedder.remarks());
  return notes;
}

void AddNoteCommands(CLI::App& verb, RunVerb& run) {
  for (const auto add : {AddNoteAdd, AddNoteSearch, AddNoteList, AddNoteShow, AddNoteForget, AddNoteExport,
                         AddNoteImport, AddNoteReindex}) {
    add(verb, run);
  }
}

Status PrintNoteStats(const MemoryPlace& flags) {
  QWEN25_TRY(const auto store, OpenIfThere(flags));
  if (!store) return {};
  QWEN25_TRY(const NoteStats stats, store->Stats());
  fmt::print("notes: {} ({} superseded), {} chunks, {} with vectors, {:.1f} MB{}\n", stats.notes,
             stats.superseded, stats.chunks, stats.embedded, static_cast<double>(stats.file_bytes) / 1e6,
             flags.key_file.empty() ? "" : ", encrypted");
  if (!stats.embedder.empty()) fmt::print("embedder: {}\n", stats.embedder);
  for (const auto& [name, count] : stats.namespaces) fmt::print("  {}: {} notes\n", name, count);
  return {};
}

Status CompactNotes(const MemoryPlace& flags) {
  QWEN25_TRY(const auto store, OpenIfThere(flags));
  if (!store) return {};
  return store->EraseTraces();
}

Status VerifyNotes(const MemoryPlace& flags) {
  QWEN25_TRY(const auto store, OpenIfThere(flags));
  if (!store) return {};
  QWEN25_RETURN_IF_ERROR(store->Verify());
  QWEN25_TRY(const NoteStats stats, store->Stats());
  fmt::print("notes: {} of them, sound\n", stats.notes);
  return {};
}

}  // namespace qwen25

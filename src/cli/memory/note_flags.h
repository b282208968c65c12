// What the commands about notes share.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cli/flags/embedder_flags.h"
#include "cli/flags/memory_flags.h"
#include "cli/verb.h"
#include "knowledge/memory_folder.h"

namespace qwen25 {

struct NoteFlags {
  MemoryPlace memory;  // its folder and its key
  EmbedderChoice embedder;
  std::string name_space;
  std::vector<std::string> inputs, tags, namespaces;
  std::string title, source, speaker, session, query, file, mode = "hybrid";
  std::vector<int64_t> ids;
  std::optional<int64_t> supersedes;
  size_t limit = 5;
  bool erase = false, yes = false, json = false, all = false, everything = false;
};

// A command below `memory`, with the flags of the folder.
inline std::pair<CLI::App*, NoteFlags*> AddNoteCommand(CLI::App& verb, RunVerb& run, const char* name,
                                                       const char* what,
                                                       Status (*function)(const NoteFlags&)) {
  const auto added = AddVerb(verb, run, name, what, function);
  AddMemoryFolderFlags(*added.first, added.second->memory);
  return added;
}

// The notes of the flags' folder; remarks of the embedder go to standard error.
Result<LoadedNotes> OpenNotes(const NoteFlags& flags, bool need_vectors);

// The commands: note_changes.cc and note_queries.cc.
void AddNoteAdd(CLI::App& verb, RunVerb& run);
void AddNoteSearch(CLI::App& verb, RunVerb& run);
void AddNoteList(CLI::App& verb, RunVerb& run);
void AddNoteShow(CLI::App& verb, RunVerb& run);
void AddNoteForget(CLI::App& verb, RunVerb& run);
void AddNoteExport(CLI::App& verb, RunVerb& run);
void AddNoteImport(CLI::App& verb, RunVerb& run);
void AddNoteReindex(CLI::App& verb, RunVerb& run);

}  // namespace qwen25

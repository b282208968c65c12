// The part of `qwen25 memory` that is about notes and documents.
#pragma once

#include <CLI/CLI.hpp>

#include "cli/flags/memory_flags.h"
#include "cli/verb.h"

namespace qwen25 {

// Adds add, search, list, show, forget, export, import and reindex to the verb.
void AddNoteCommands(CLI::App& verb, RunVerb& run);

// For `memory stats`, `verify` and `compact`; a folder without notes is not an error.
Status PrintNoteStats(const MemoryPlace& flags);
Status VerifyNotes(const MemoryPlace& flags);
Status CompactNotes(const MemoryPlace& flags);

}  // namespace qwen25

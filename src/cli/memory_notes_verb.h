// The part of `qwen25 memory` that is about notes and documents.
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>

#include "cli/verb.h"

namespace qwen25 {

// Adds add, search, list, show, forget, export, import and reindex to the verb.
void AddNoteCommands(CLI::App& verb, RunVerb& run);

// For `memory stats` and `memory verify`; a folder without notes is no error.
Status PrintNoteStats(const std::filesystem::path& directory);
Status VerifyNotes(const std::filesystem::path& directory);

}  // namespace qwen25

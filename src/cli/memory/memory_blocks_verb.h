// The part of `qwen25 memory` that looks after dialogues and their keys and values.
#pragma once

#include "cli/flags/memory_flags.h"
#include "cli/verb.h"

namespace qwen25 {

void AddBlockCommands(CLI::App& verb, RunVerb& run);
Status PrintBlockStats(const MemoryPlace& flags);
Status VerifyBlocks(const MemoryPlace& flags);
Status CompactBlocks(const MemoryPlace& flags);

}  // namespace qwen25

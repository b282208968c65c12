// What `qwen25 memory stats` and `verify` say of dialogues.
#pragma once

#include "cli/flags/memory_flags.h"

namespace qwen25 {

Status PrintDialogueStats(const MemoryFlags& flags);
Status VerifyDialogues(const MemoryFlags& flags);

}  // namespace qwen25

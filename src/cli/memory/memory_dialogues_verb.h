// What `qwen25 memory stats` and `verify` say of dialogues.
#pragma once

#include "cli/flags/memory_flags.h"

namespace qwen25 {

Status PrintDialogueStats(const MemoryPlace& flags);
Status VerifyDialogues(const MemoryPlace& flags);

}  // namespace qwen25

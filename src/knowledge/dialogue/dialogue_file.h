// Conversations in the forms in which people keep them.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "knowledge/dialogue/dialogue_log.h"

namespace qwen25 {

// What /save writes (ParseDialogue); a list of OpenAI messages, alone or one a line; or an object whose turns
// stand under "conversations" or "conversation", as messages or as ShareGPT's {"from": "human", "value":
// ...}. kInvalidArgument with `origin` for anything else, and if there are several conversations.
Result<Dialogue> ParseDialogueFile(std::string_view text, const std::string& origin);

}  // namespace qwen25

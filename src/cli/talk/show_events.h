// What happens in a conversation, in lines for the terminal.
#pragma once

#include <string>

#include "knowledge/dialogue/conversation_event.h"

namespace qwen25 {

// Prints an event of a model with this context; most as a line in brackets.
void ShowEvent(const ConversationEvent& event, size_t max_context_tokens);

// A message with its calls; questions begin with "> ".
void ShowMessage(const ChatMessage& message);

// Before the reason why blocks of forgotten notes are still there.
inline constexpr const char* kForgottenLater =
    "what a chat may have computed of forgotten notes goes when it starts again: ";

// "8192 of 8200 prompt tokens were known: 8192 from memory".
std::string ReuseSummary(const PrefixReuse& reuse, size_t num_prompt_tokens);

}  // namespace qwen25

// The commands of `qwen25 chat` for its notes.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>

#include "knowledge/dialogue/conversation.h"

namespace qwen25 {

void AddNoteFlags(CLI::App& verb, ConversationNotes::Options& options);

// Lines for the chat's /help.
inline constexpr const char* kNoteCommandsHelp =
    "  /remember TEXT   keep a note (so does a line like \"remember that ...\")\n"
    "  /forget ID       forget a note; /forget WORDS the one that they mean, if only one is meant;\n"
    "                   /forget --erase ... leaves no trace of it in the files\n"
    "  /recall WORDS    what the memory holds about something\n"
    "  /memory          the state of the memory; /memory on, /memory off\n";

// Runs /remember, /forget, /recall and /memory; nothing for any other command.
std::optional<Status> RunNoteCommand(Conversation& conversation, const std::string& command,
                                     const std::string& argument);

}  // namespace qwen25

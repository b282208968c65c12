// Whether notes that follow each other belong together, told from their words.
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <string>

namespace qwen25 {

// Four notes that were added one after the other.
using NotesInARow = std::array<std::string, 4>;

// Whether these samples are of a conversation, whose subject fades from turn to turn, and not of separate
// notes in a row. In a conversation, the outer notes of a row share words more often with the note beside
// them than with the one at the other end; if notes are independent, both are equally likely. Words that all
// three share (names of speakers, the date) and common ones do not count. The difference must be four
// standard deviations of a fair coin (a sign test), so that few samples are never enough.
bool IsContinuous(std::span<const NotesInARow> samples);

}  // namespace qwen25

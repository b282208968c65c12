#include "cli/talk/note_commands.h"

#include <algorithm>

#include "cli/terminal/note_lines.h"

namespace qwen25 {
namespace {

Status RunRemember(ConversationNotes& notes, const std::string& text) {
  if (text.empty()) return InvalidArgument("/remember needs a text");
  const Result<int64_t> id = notes.Remember(text);
  if (id.ok()) fmt::print("[remembered as note {}]\n", *id);
  return id.status();
}

Status RunForget(ConversationNotes& notes, std::string argument) {
  constexpr std::string_view kErase = "--erase";
  const bool erase = argument == kErase || argument.starts_with(std::string(kErase) + " ");
  if (erase) argument.erase(0, std::min(argument.size(), kErase.size() + 1));
  if (argument.empty()) return InvalidArgument("/forget needs the number of a note, or words that mean one");
  return notes.Forget(argument, erase);
}

Status RunRecall(ConversationNotes& notes, const std::string& words) {
  if (words.empty()) return InvalidArgument("/recall needs words to look for");
  QWEN25_TRY(const std::vector<RecalledNote> found, notes.Recall(words));
  for (const RecalledNote& note : found) {
    fmt::print("note {} ({:.2f})  {}  {}\n", note.hit.note, note.relevance, LocalTime(note.hit.created_ms),
               Snippet(note.hit.text, words));
  }
  if (found.empty()) fmt::print("nothing found\n");
  return {};
}

Status RunMemory(Conversation& conversation, const std::string& argument) {
  if (!argument.empty() && argument != "on" && argument != "off") {
    return InvalidArgument("/memory shows its state; /memory on and /memory off change it");
  }
  if (!argument.empty()) QWEN25_RETURN_IF_ERROR(conversation.SwitchMemory(argument == "on"));
  ConversationNotes& notes = conversation.notes();
  QWEN25_TRY(const uint64_t count, notes.Count());
  fmt::print("memory {}, folder {}, namespace \"{}\"", notes.is_on() ? "on" : "off",
             notes.place().Folder().string(), notes.place().name_space);
  if (notes.is_on()) {
    fmt::print(" with {} notes, at most {} recalled for a question", count, notes.options().recall);
  }
  fmt::print("\n");
  return {};
}

}  // namespace

void AddNoteFlags(CLI::App& verb, ConversationNotes::Options& options) {
  verb.add_option("--recall", options.recall, "Most notes put before a question; 0: none")
      ->capture_default_str()
      ->check(CLI::Range(0, 100));
  verb.add_option_function<std::string>(
          "--notes-as", [&options](const std::string& kind) { options.as_blocks = kind == "blocks"; },
          "text: notes that are relevant stand before a question; blocks: attention picks their keys and "
          "values by the score that it picks everything else by, which needs --recall-window")
      ->check(CLI::IsMember({"text", "blocks"}))
      ->default_str("text");
  verb.add_option("--embedder", options.embedder,
                  "Of the notes; default: what made their vectors, else hashed (qwen25 memory add --help)");
}

std::optional<Status> RunNoteCommand(Conversation& conversation, const std::string& command,
                                     const std::string& argument) {
  ConversationNotes& notes = conversation.notes();
  if (command == "/remember") return RunRemember(notes, argument);
  if (command == "/forget") return RunForget(notes, argument);
  if (command == "/recall") return RunRecall(notes, argument);
  if (command == "/memory") return RunMemory(conversation, argument);
  return std::nullopt;
}

}  // namespace qwen25

#include "cli/talk/show_events.h"

#include <fmt/ranges.h>

#include "cli/terminal/note_lines.h"
#include "text/python_json.h"

namespace qwen25 {
namespace {

constexpr size_t kLineBytes = 80;

std::string Counted(size_t count, std::string_view what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

struct Show {
  size_t max_context_tokens;

  void operator()(const NoteRemembered& event) const { fmt::print("[remembered as note {}]\n", event.note); }

  void operator()(const NoteForgotten& event) const {
    fmt::print("[{} note {}: {}]\n", event.erased ? "erased" : "forgot", event.note,
               OneLine(event.text, kLineBytes));
  }

  void operator()(const ForgettingUnclear& event) const {
    fmt::print("[nothing was forgotten: it may be one of these; /forget ID forgets it]\n");
    for (const RecalledNote& candidate : event.candidates) {
      fmt::print("  note {}: {} ({:.2f})\n", candidate.hit.note, OneLine(candidate.hit.text, kLineBytes),
                 candidate.relevance);
    }
  }

  void operator()(const NotesRecalled& event) const {
    std::vector<std::string> shown;
    for (const NotesRecalled::Note& note : event.notes) {
      std::string remarks = note.is_above ? ", above" : "";
      if (!note.older.empty()) remarks += fmt::format(", newer than {}", fmt::join(note.older, " and "));
      shown.push_back(fmt::format("note {} ({:.2f}{})", note.note, note.relevance, remarks));
    }
    fmt::print("[recalled: {}]\n", fmt::join(shown, ", "));
  }

  void operator()(const EmbedderRemark& event) const { fmt::print(stderr, "note: {}\n", event.text); }
  void operator()(const MemoryTurnedOff& event) const {
    fmt::print("[the memory is off: {}]\n", event.why.message());
  }

  void operator()(const AttentionReady& event) const {
    std::vector<std::string> what;
    if (event.num_notes) what.push_back(Counted(*event.num_notes, "note"));
    if (event.dialogues) what.push_back("earlier dialogues");
    fmt::print("[attention recalls {}: {}]\n", fmt::join(what, " and "), Counted(event.num_blocks, "block"));
  }

  void operator()(const NotesPartlyStored& event) const {
    fmt::print("[notes as blocks: {} of {} chunks are stored; the others are recalled as text: {}]\n",
               event.num_stored, event.num_wanted, event.why.message());
  }

  void operator()(const AttentionRead& event) const {
    std::vector<std::string> shown;
    for (const AttentionRead::Share& share : event.shares) {
      shown.push_back(fmt::format("{} ({:.0f} %)",
                                  share.note ? fmt::format("note {}", *share.note) : "dialogues",
                                  100 * share.share));
    }
    fmt::print("[attention read {}]\n", fmt::join(shown, ", "));
  }

  void operator()(const DialogueResumed& event) const {
    fmt::print("[going on with dialogue {} of {} messages; /reset starts a new one]\n", event.number,
               event.num_messages);
    for (const ChatMessage& message : event.last_turn) ShowMessage(message);
  }
  void operator()(const DialogueUnreadable& event) const {
    fmt::print("[the last dialogue cannot be read, and another one begins: {}]\n", event.why.message());
  }
  void operator()(const DialogueMoved& event) const {
    fmt::print("[another chat has gone on with dialogue {}; this one is kept as dialogue {}]\n", event.from,
               event.to);
  }

  void operator()(const Answered& event) const {
    const GenerateResult& result = *event.result;
    fmt::print("{}\n", result.finish_reason == FinishReason::kCancelled ? " [stopped]" : "");
    if (result.finish_reason == FinishReason::kContextFull) {
      fmt::print("[the context of {} tokens is full; /reset starts over]\n", max_context_tokens);
    }
    if (!result.error.ok()) fmt::print("[the answer ends here: {}]\n", result.error.message());
    if (result.reuse.stored > 0) {
      fmt::print("[{}]\n", ReuseSummary(result.reuse, result.num_prompt_tokens));
    }
  }

  void operator()(const BlocksNotStored&) const {
    fmt::print(
        "[keys and values from here on are not stored: what attention recalls has changed in the middle of "
        "this conversation; it is kept, and is computed anew when it goes on]\n");
  }

  void operator()(const ConversationProblem& event) const {
    const std::string& why = event.why.message();
    switch (event.what) {
      case ConversationProblem::What::kDialoguesNotKept:
        fmt::print(stderr, "note: dialogues are not kept: {}\n", why);
        return;
      case ConversationProblem::What::kNotRemembered:
        fmt::print("[not remembered: {}]\n", why);
        return;
      case ConversationProblem::What::kNothingRecalled:
        fmt::print("[nothing recalled: {}]\n", why);
        return;
      case ConversationProblem::What::kNothingForgotten:
        fmt::print("{}\n", why);
        return;
      case ConversationProblem::What::kNotesAsBlocks:
        fmt::print("[notes as blocks: {}]\n", why);
        return;
      case ConversationProblem::What::kStoredBlocks:
        fmt::print("[memory: {}]\n", why);
        return;
      case ConversationProblem::What::kForgottenLater:
        fmt::print(stderr, "note: {}{}\n", kForgottenLater, why);
        return;
    }
  }
};

}  // namespace

void ShowEvent(const ConversationEvent& event, size_t max_context_tokens) {
  std::visit(Show{max_context_tokens}, event);
}

void ShowMessage(const ChatMessage& message) {
  if (!message.content.empty() || message.tool_calls.empty()) {
    fmt::print("{}{}\n", message.role == "user" ? "> " : "", message.content);
  }
  for (const ToolCall& call : message.tool_calls) {
    fmt::print("[calls {} with {}]\n", call.name, PythonJson(call.arguments));
  }
}

std::string ReuseSummary(const PrefixReuse& reuse, size_t num_prompt_tokens) {
  std::string text = fmt::format("{} of {} prompt tokens were known", reuse.total(), num_prompt_tokens);
  if (reuse.stored > 0) text += fmt::format(", {} of them from memory", reuse.stored);
  if (reuse.shared > 0) text += fmt::format(", {} of them from other sessions", reuse.shared);
  return text;
}

}  // namespace qwen25

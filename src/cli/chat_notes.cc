#include "cli/chat_notes.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <map>

#include "cli/terminal/note_lines.h"
#include "knowledge/dialogue/memory_request.h"

namespace qwen25 {
namespace {

// Another writer is waited for so long: nobody wants to wait longer for an answer.
constexpr int kBusyMilliseconds = 2000;
constexpr size_t kShown = 5;  // notes of /recall
constexpr size_t kLineBytes = 80;

std::optional<int64_t> AsId(const std::string& text) {
  int64_t id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  return error == std::errc() && end == text.data() + text.size() && id > 0 ? std::optional(id)
                                                                            : std::nullopt;
}

std::string LineOf(const NoteHit& hit) {
  return fmt::format("note {}: {}", hit.note, OneLine(hit.text, kLineBytes));
}

}  // namespace

void AddChatNotesFlags(CLI::App& verb, ChatNotesFlags& flags) {
  verb.add_option("--recall", flags.recall, "Most notes put before a question; 0: none")
      ->capture_default_str()
      ->check(CLI::Range(0, 100));
  verb.add_option_function<std::string>(
          "--notes-as", [&flags](const std::string& kind) { flags.as_blocks = kind == "blocks"; },
          "text: notes that are relevant stand before a question; blocks: attention picks their keys and "
          "values by the score that it picks everything else by, which needs --recall-window")
      ->check(CLI::IsMember({"text", "blocks"}))
      ->default_str("text");
  verb.add_option("--embedder", flags.embedder,
                  "Of the notes; default: what made their vectors, else hashed (qwen25 memory add --help)");
}

ChatNotes::ChatNotes(const ChatNotesFlags& flags, const MemoryFlags& memory, const Tokenizer& tokenizer,
                     size_t max_context_tokens)
    : memory_(memory),
      folder_(memory.Folder()),
      name_space_(memory.name_space),
      flags_(flags),
      max_tokens_(std::min(RecallOptions().max_tokens, max_context_tokens / 4)),
      on_(!memory.off) {
  for (const AddedToken& token : tokenizer.spec().added_tokens) {
    if (token.content.find_first_of(" \t\n") == std::string::npos) control_texts_.push_back(token.content);
  }
  Store(/*create=*/false);  // says at once where it cannot be opened
}

NoteStore* ChatNotes::Store(bool create) {
  if (!on_ || notes_.store) return on_ ? notes_.store.get() : nullptr;
  if (!create && !NoteStore::Exists(folder_)) return nullptr;
  auto opened = OpenStore();
  if (!opened.ok()) {
    on_ = false;
    fmt::print("[the memory is off: {}]\n", opened.status().message());
    return nullptr;
  }
  notes_ = std::move(*opened);
  return notes_.store.get();
}

Result<LoadedNotes> ChatNotes::OpenStore() const {
  EmbedderFlags embedder;
  embedder.embedder = flags_.embedder;
  NoteStoreOptions options = {.busy_milliseconds = kBusyMilliseconds};
  QWEN25_TRY(options.key, memory_.Key());
  return OpenNotes(folder_, embedder, /*need_vectors=*/true, options);
}

Result<std::vector<NotePassage>> ChatNotes::Passages(bool as_turns) {
  NoteStore* store = Store(/*create=*/false);
  if (store == nullptr) return std::vector<NotePassage>();
  QWEN25_TRY(recall_version_, store->DataVersion());
  return NotePassages(*store, name_space_, control_texts_, as_turns);
}

void ChatNotes::CatchUp(NoteStore& store) {
  const Result<int64_t> version = store.DataVersion();
  Status status = version.status();
  if (status.ok() && *version != recall_version_) {
    status = recall_->NotesChanged(store, /*erase=*/false);
    if (status.ok()) recall_version_ = *version;
  }
  if (!status.ok()) fmt::print("[notes as blocks: {}]\n", status.message());
}

Result<int64_t> ChatNotes::Remember(const std::string& text) {
  NoteStore* store = Store(/*create=*/true);
  if (store == nullptr) return InvalidArgument("the memory is off; /memory on turns it on");
  NewNote note;
  note.text = text;
  note.name_space = name_space_;
  note.source = "chat";
  return store->Add(note);
}

Result<Note> ChatNotes::OwnNote(NoteStore& store, int64_t id) const {
  auto note = store.Get(id);
  if (note.ok() && note->name_space == name_space_) return note;
  if (!note.ok() && note.status().code() != StatusCode::kNotFound) return note.status();
  return NotFound("there is no note {} in namespace \"{}\"", id, name_space_);
}

Status ChatNotes::RemoveBlocks(NoteStore& store, bool erase) {
  if (recall_ != nullptr) return recall_->NotesChanged(store, erase);
  if (blocks_ != nullptr) return RemoveForgottenNotes(*blocks_, store, name_space_, erase);
  return RemoveForgottenNotes(memory_, store, erase);
}

Status ChatNotes::ForgetNote(const Note& note, bool erase) {
  NoteStore& store = *Store(false);
  QWEN25_RETURN_IF_ERROR(store.Forget(std::array{note.id}, erase).status());
  QWEN25_RETURN_IF_ERROR(RemoveBlocks(store, erase));
  fmt::print("[{} note {}: {}]\n", erase ? "erased" : "forgot", note.id, OneLine(note.text, kLineBytes));
  return {};
}

Status ChatNotes::Forget(std::string argument) {
  constexpr std::string_view kErase = "--erase";
  const bool erase = argument == kErase || argument.starts_with(std::string(kErase) + " ");
  if (erase) argument.erase(0, std::min(argument.size(), kErase.size() + 1));
  if (argument.empty()) return InvalidArgument("/forget needs the number of a note, or words that mean one");
  NoteStore* store = Store(false);
  if (store == nullptr)
    return NotFound("there is nothing to forget: {}", on_ ? "no notes" : "the memory is off");
  if (const auto id = AsId(argument)) {
    QWEN25_TRY(const Note note, OwnNote(*store, *id));
    return ForgetNote(note, erase);
  }
  QWEN25_TRY(const ForgetChoice choice, FindToForget(*store, argument, {name_space_}));
  if (choice.candidates.empty()) return NotFound("[nothing was forgotten: no note fits]");
  if (choice.certain) {
    QWEN25_TRY(const Note note, OwnNote(*store, choice.candidates[0].hit.note));
    return ForgetNote(note, erase);
  }
  fmt::print("[nothing was forgotten: it may be one of these; /forget ID forgets it]\n");
  for (const RecalledNote& candidate : choice.candidates) {
    fmt::print("  {} ({:.2f})\n", LineOf(candidate.hit), candidate.relevance);
  }
  return {};
}

Status ChatNotes::Recall(const std::string& words) {
  if (words.empty()) return InvalidArgument("/recall needs words to look for");
  std::vector<RecalledNote> found;
  if (NoteStore* store = Store(false)) {
    RecallOptions options;
    options.namespaces = {name_space_};
    options.limit = kShown;
    options.floor = 0;
    options.max_tokens = SIZE_MAX;
    QWEN25_TRY(found, RecallNotes(*store, words, options));
  } else if (!on_) {
    return InvalidArgument("the memory is off; /memory on turns it on");
  }
  for (const RecalledNote& note : found) {
    fmt::print("note {} ({:.2f})  {}  {}\n", note.hit.note, note.relevance, LocalTime(note.hit.created_ms),
               Snippet(note.hit.text, words));
  }
  if (found.empty()) fmt::print("nothing found\n");
  return {};
}

Status ChatNotes::Describe() {
  uint64_t count = 0;
  if (NoteStore* store = Store(false)) {
    QWEN25_TRY(const NoteStats stats, store->Stats());
    for (const auto& [name, notes] : stats.namespaces) count += name == name_space_ ? notes : 0;
  }
  fmt::print("memory {}, folder {}, namespace \"{}\"", on_ ? "on" : "off", folder_.string(), name_space_);
  if (on_) fmt::print(" with {} notes, at most {} recalled for a question", count, flags_.recall);
  fmt::print("\n");
  return {};
}

std::optional<Status> ChatNotes::Command(const std::string& command, const std::string& argument) {
  if (command == "/remember") {
    if (argument.empty()) return InvalidArgument("/remember needs a text");
    const Result<int64_t> id = Remember(argument);
    if (id.ok()) fmt::print("[remembered as note {}]\n", *id);
    return id.status();
  }
  if (command == "/forget") return Forget(argument);
  if (command == "/recall") return Recall(argument);
  if (command != "/memory") return std::nullopt;
  if (!argument.empty() && argument != "on" && argument != "off") {
    return InvalidArgument("/memory shows its state; /memory on and /memory off change it");
  }
  if (!argument.empty()) on_ = argument == "on";
  return Describe();
}

std::string ChatNotes::WithNotes(const std::string& question, std::span<const ChatMessage> history) {
  if (!on_) return question;
  RecallOptions options;
  const MemoryRequest request = ParseMemoryRequest(question);
  if (request.kind == MemoryRequest::Kind::kRemember) {
    const Result<int64_t> id = Remember(request.text);
    fmt::print("[{}]\n", id.ok() ? fmt::format("remembered as note {}", *id)
                                 : "not remembered: " + id.status().message());
    if (id.ok()) options.except.insert(*id);
  } else if (request.kind == MemoryRequest::Kind::kForget) {
    if (const Status status = Forget(request.text); !status.ok()) fmt::print("{}\n", status.message());
  }
  NoteStore* store = Store(/*create=*/false);
  if (store == nullptr) return question;
  options.namespaces = {name_space_};
  options.limit = flags_.recall;
  options.max_tokens = max_tokens_;
  if (recall_ != nullptr) {
    CatchUp(*store);
    options.except.insert(recall_->HeldNotes().begin(), recall_->HeldNotes().end());
  }
  const auto recalled = RecallNotes(*store, question, options);
  if (!recalled.ok()) {
    fmt::print("[nothing recalled: {}]\n", recalled.status().message());
    return question;
  }
  std::vector<std::string> lines, shown;
  for (const RecalledNote& note : *recalled) {
    std::string line = NoteLine(note.hit, control_texts_);
    const bool known = std::ranges::any_of(
        history, [&](const ChatMessage& message) { return message.content.find(line) != std::string::npos; });
    shown.push_back(fmt::format("note {} ({:.2f}{})", note.hit.note, note.relevance, known ? ", above" : ""));
    if (!known) lines.push_back(std::move(line));
  }
  if (!shown.empty()) fmt::print("[recalled: {}]\n", fmt::join(shown, ", "));
  return QuestionWithNotes(question, lines);
}

}  // namespace qwen25

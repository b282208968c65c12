#include "knowledge/dialogue/conversation_notes.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "knowledge/dialogue/memory_request.h"

namespace qwen25 {
namespace {

using What = ConversationProblem::What;

// The longest wait for another writer: nobody wants to wait longer for an answer.
constexpr int kBusyMilliseconds = 2000;
constexpr size_t kLookedUp = 5;  // notes of Recall

std::optional<int64_t> AsId(const std::string& text) {
  int64_t id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  return error == std::errc() && end == text.data() + text.size() && id > 0 ? std::optional(id)
                                                                            : std::nullopt;
}

}  // namespace

ConversationNotes::ConversationNotes(const Options& options, const MemoryPlace& place,
                                     const Tokenizer& tokenizer, size_t max_context_tokens,
                                     ConversationEventSink on_event)
    : place_(place),
      options_(options),
      max_tokens_(std::min(RecallOptions().max_tokens, max_context_tokens / 4)),
      on_event_(std::move(on_event)),
      on_(!place.off) {
  for (const AddedToken& token : tokenizer.spec().added_tokens) {
    if (token.content.find_first_of(" \t\n") == std::string::npos) control_texts_.push_back(token.content);
  }
  Store(/*create=*/false);  // reports at once if it cannot be opened
}

NoteStore* ConversationNotes::Store(bool create) {
  if (!on_ || notes_.store) return on_ ? notes_.store.get() : nullptr;
  if (!create && !NoteStore::Exists(place_.Folder())) return nullptr;
  auto opened = OpenStore();
  if (!opened.ok()) {
    on_ = false;
    Tell(MemoryTurnedOff{opened.status()});
    return nullptr;
  }
  notes_ = std::move(*opened);
  for (const std::string& remark : notes_.embedder.remarks()) Tell(EmbedderRemark{remark});
  return notes_.store.get();
}

Result<LoadedNotes> ConversationNotes::OpenStore() const {
  EmbedderChoice embedder;
  embedder.embedder = options_.embedder;
  return OpenNotes(place_, embedder, /*need_vectors=*/true, {.busy_milliseconds = kBusyMilliseconds});
}

Result<std::vector<NotePassage>> ConversationNotes::Passages(bool as_turns) {
  NoteStore* store = Store(/*create=*/false);
  if (store == nullptr) return std::vector<NotePassage>();
  QWEN25_TRY(recall_version_, store->DataVersion());
  return NotePassages(*store, place_.name_space, control_texts_, as_turns);
}

void ConversationNotes::CatchUp(NoteStore& store) {
  const Result<int64_t> version = store.DataVersion();
  Status status = version.status();
  if (status.ok() && *version != recall_version_) {
    status = recall_->NotesChanged(store, /*erase=*/false);
    if (status.ok()) recall_version_ = *version;
  }
  if (!status.ok()) Tell(ConversationProblem{What::kNotesAsBlocks, status});
}

Result<uint64_t> ConversationNotes::Count() {
  uint64_t count = 0;
  if (NoteStore* store = Store(false)) {
    QWEN25_TRY(const NoteStats stats, store->Stats());
    for (const auto& [name, notes] : stats.namespaces) count += name == place_.name_space ? notes : 0;
  }
  return count;
}

Result<int64_t> ConversationNotes::Remember(const std::string& text) {
  NoteStore* store = Store(/*create=*/true);
  if (store == nullptr) return InvalidArgument("the memory is off; /memory on turns it on");
  NewNote note;
  note.text = text;
  note.name_space = place_.name_space;
  note.source = "chat";
  return store->Add(note);
}

Result<Note> ConversationNotes::OwnNote(NoteStore& store, int64_t id) const {
  auto note = store.Get(id);
  if (note.ok() && note->name_space == place_.name_space) return note;
  if (!note.ok() && note.status().code() != StatusCode::kNotFound) return note.status();
  return NotFound("there is no note {} in namespace \"{}\"", id, place_.name_space);
}

Status ConversationNotes::RemoveBlocks(NoteStore& store, bool erase) {
  if (recall_ != nullptr) return recall_->NotesChanged(store, erase);
  if (blocks_ != nullptr) return RemoveForgottenNotes(*blocks_, store, place_.name_space, erase);
  Status later;
  QWEN25_RETURN_IF_ERROR(RemoveForgottenNotes(place_, store, erase, later));
  if (!later.ok()) Tell(ConversationProblem{What::kForgottenLater, later});
  return {};
}

Status ConversationNotes::ForgetNote(const Note& note, bool erase) {
  NoteStore& store = *Store(false);
  QWEN25_RETURN_IF_ERROR(store.Forget(std::array{note.id}, erase).status());
  QWEN25_RETURN_IF_ERROR(RemoveBlocks(store, erase));
  Tell(NoteForgotten{.note = note.id, .text = note.text, .erased = erase});
  return {};
}

Status ConversationNotes::Forget(const std::string& what, bool erase) {
  NoteStore* store = Store(false);
  if (store == nullptr) {
    return NotFound("there is nothing to forget: {}", on_ ? "no notes" : "the memory is off");
  }
  if (const auto id = AsId(what)) {
    QWEN25_TRY(const Note note, OwnNote(*store, *id));
    return ForgetNote(note, erase);
  }
  QWEN25_TRY(const ForgetChoice choice, FindToForget(*store, what, {place_.name_space}));
  if (choice.candidates.empty()) return NotFound("nothing was forgotten: no note fits");
  if (!choice.certain) {
    Tell(ForgettingUnclear{choice.candidates});
    return {};
  }
  QWEN25_TRY(const Note note, OwnNote(*store, choice.candidates[0].hit.note));
  return ForgetNote(note, erase);
}

Result<std::vector<RecalledNote>> ConversationNotes::Recall(const std::string& words) {
  NoteStore* store = Store(false);
  if (store == nullptr && !on_) return InvalidArgument("the memory is off; /memory on turns it on");
  if (store == nullptr) return std::vector<RecalledNote>();
  RecallOptions options;
  options.namespaces = {place_.name_space};
  options.limit = kLookedUp;
  options.floor = 0;
  options.max_tokens = SIZE_MAX;
  options.newest_only = false;
  return RecallNotes(*store, words, options);
}

std::optional<int64_t> ConversationNotes::Obey(const std::string& question) {
  const MemoryRequest request = ParseMemoryRequest(question);
  if (request.kind == MemoryRequest::Kind::kRemember) {
    const Result<int64_t> id = Remember(request.text);
    if (id.ok()) {
      Tell(NoteRemembered{*id});
      return *id;
    }
    Tell(ConversationProblem{What::kNotRemembered, id.status()});
  } else if (request.kind == MemoryRequest::Kind::kForget) {
    if (const Status status = Forget(request.text, /*erase=*/false); !status.ok()) {
      Tell(ConversationProblem{What::kNothingForgotten, status});
    }
  }
  return std::nullopt;
}

std::string ConversationNotes::WithNotes(const std::string& question, std::span<const ChatMessage> history) {
  if (!on_) return question;
  RecallOptions options;
  if (const auto made = Obey(question)) options.except.insert(*made);
  NoteStore* store = Store(/*create=*/false);
  if (store == nullptr) return question;
  options.namespaces = {place_.name_space};
  options.limit = options_.recall;
  options.max_tokens = max_tokens_;
  if (recall_ != nullptr) {
    CatchUp(*store);
    options.except.insert(recall_->HeldNotes().begin(), recall_->HeldNotes().end());
  }
  const auto recalled = RecallNotes(*store, question, options);
  if (!recalled.ok()) {
    Tell(ConversationProblem{What::kNothingRecalled, recalled.status()});
    return question;
  }
  std::vector<std::string> lines;
  NotesRecalled shown;
  for (const RecalledNote& note : *recalled) {
    std::string line = NoteLine(note.hit, control_texts_);
    const bool known = std::ranges::any_of(
        history, [&](const ChatMessage& message) { return message.content.find(line) != std::string::npos; });
    shown.notes.push_back(
        {.note = note.hit.note, .relevance = note.relevance, .is_above = known, .older = note.older});
    if (!known) lines.push_back(std::move(line));
  }
  if (!shown.notes.empty()) Tell(shown);
  return QuestionWithNotes(question, lines);
}

}  // namespace qwen25

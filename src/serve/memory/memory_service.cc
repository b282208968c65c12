#include "serve/memory/memory_service.h"

#include <algorithm>
#include <array>
#include <utility>
#include <variant>

#include "knowledge/dialogue/note_blocks.h"

namespace qwen25 {
namespace {

// Namespaces whose notes stay open: each holds a few files.
constexpr size_t kMostConversations = 64;

std::string_view TextOf(ConversationProblem::What what) {
  switch (what) {
    case ConversationProblem::What::kNotRemembered:
      return "the note was not remembered";
    case ConversationProblem::What::kNothingRecalled:
      return "the notes could not be searched";
    case ConversationProblem::What::kNothingForgotten:
      return "nothing was forgotten";
    case ConversationProblem::What::kForgottenLater:
      return "keys and values of what was forgotten go when the server starts again";
    default:
      return "the memory could not be used";
  }
}

// Adds an event to what happened.
struct Telling {
  Json& happened;

  void operator()(const NoteRemembered& event) const { happened["remembered"].push_back(event.note); }
  void operator()(const NoteForgotten& event) const { happened["forgotten"].push_back(event.note); }
  void operator()(const NotesRecalled& event) const {
    for (const NotesRecalled::Note& note : event.notes) {
      happened["recalled"].push_back({{"note", note.note}, {"relevance", note.relevance}});
    }
  }
  void operator()(const ForgettingUnclear& event) const {
    for (const RecalledNote& note : event.candidates) happened["may_be_meant"].push_back(note.hit.note);
  }
  // Reasons may name files, which are none of a client's business.
  void operator()(const MemoryTurnedOff&) const {
    happened["problems"].push_back("the memory cannot be used");
  }
  void operator()(const ConversationProblem& event) const {
    happened["problems"].push_back(TextOf(event.what));
  }
  template <typename Other>
  void operator()(const Other&) const {}
};

}  // namespace

std::unique_ptr<MemoryService> MemoryService::Open(const Options& options,
                                                   std::vector<std::string>& remarks) {
  auto service = std::unique_ptr<MemoryService>(new MemoryService(options));
  if (!service->is_on()) return service;
  if (options.place.CanOnlyBeRead()) {
    remarks.push_back(
        fmt::format("{}: this memory can only be read: what it holds is used, and nothing is added",
                    options.place.Folder().string()));
    return service;
  }
  Result<std::unique_ptr<BlockStore>> blocks = OpenBlockStore(options.place);
  if (blocks.ok()) {
    service->blocks_ = std::move(*blocks);
  } else {
    remarks.push_back(
        fmt::format("going on without memory of keys and values: {}", blocks.status().message()));
  }
  return service;
}

std::shared_ptr<MemoryService::Conversation> MemoryService::ConversationOf(const std::string& name_space,
                                                                           const std::string& model,
                                                                           const Tokenizer& tokenizer,
                                                                           size_t max_context_tokens) {
  const std::lock_guard lock(conversations_mutex_);
  const auto found = std::ranges::find_if(
      conversations_, [&](const auto& one) { return one->name_space == name_space && one->model == model; });
  if (found != conversations_.end()) {
    conversations_.splice(conversations_.begin(), conversations_, found);
    return conversations_.front();
  }
  auto made = std::make_shared<Conversation>();
  made->name_space = name_space;
  made->model = model;
  MemoryPlace place = options_.place;
  place.name_space = name_space;
  made->notes = std::make_unique<ConversationNotes>(
      ConversationNotes::Options{.embedder = options_.embedder}, place, tokenizer, max_context_tokens,
      [events = &made->events](const ConversationEvent& event) { events->push_back(event); });
  made->notes->SetBlockStore(blocks_.get());
  conversations_.push_front(made);
  // Whoever uses one of them keeps it.
  if (conversations_.size() > kMostConversations) conversations_.pop_back();
  return made;
}

Json MemoryService::AddNotes(const std::string& name_space, const std::string& model,
                             const Tokenizer& tokenizer, size_t max_context_tokens,
                             std::vector<ChatMessage>& messages) {
  Json happened = Json::object();
  if (!is_on() || messages.empty() || messages.back().role != "user") return happened;
  const std::shared_ptr<Conversation> conversation =
      ConversationOf(name_space, model, tokenizer, max_context_tokens);
  const std::lock_guard lock(conversation->mutex);
  const std::span<const ChatMessage> history(messages.data(), messages.size() - 1);
  std::string text = conversation->notes->WithNotes(messages.back().content, history);
  messages.back() = {.role = "user", .content = std::move(text)};
  for (const ConversationEvent& event : conversation->events) std::visit(Telling{happened}, event);
  conversation->events.clear();
  if (!conversation->notes->is_on()) {  // the next request tries again
    const std::lock_guard lock_of_list(conversations_mutex_);
    conversations_.remove(conversation);
  }
  return happened;
}

Result<NoteStore*> MemoryService::Store(bool create) {
  if (!is_on()) return InvalidArgument("this server has no memory");
  if (notes_.store) return notes_.store.get();
  QWEN25_RETURN_IF_ERROR(options_.place.CheckFolder());
  if (!create && !NoteStore::Exists(options_.place.Folder())) return static_cast<NoteStore*>(nullptr);
  QWEN25_TRY(notes_, OpenNotes(options_.place, {.embedder = options_.embedder}, /*need_vectors=*/true));
  return notes_.store.get();
}

Result<int64_t> MemoryService::Add(const NewNote& note) {
  const std::lock_guard lock(mutex_);
  QWEN25_TRY(NoteStore * store, Store(/*create=*/true));
  return store->Add(note);
}

Result<Note> MemoryService::Get(const std::string& name_space, int64_t id) {
  const std::lock_guard lock(mutex_);
  QWEN25_TRY(NoteStore * store, Store(/*create=*/false));
  Result<Note> note = store == nullptr ? NotFound("no notes") : store->Get(id);
  if (note.ok() && note->name_space == name_space) return note;
  if (!note.ok() && note.status().code() != StatusCode::kNotFound) return note;
  return NotFound("there is no note {} in this namespace", id);
}

Result<std::vector<Note>> MemoryService::List(const std::string& name_space, bool include_superseded) {
  const std::lock_guard lock(mutex_);
  QWEN25_TRY(NoteStore * store, Store(/*create=*/false));
  if (store == nullptr) return std::vector<Note>();
  return store->List({.name_space = name_space, .include_superseded = include_superseded},
                     /*with_text=*/true);
}

Result<std::vector<NoteHit>> MemoryService::Search(const NoteSearch& search) {
  const std::lock_guard lock(mutex_);
  QWEN25_TRY(NoteStore * store, Store(/*create=*/false));
  if (store == nullptr) return std::vector<NoteHit>();
  return store->Search(search);
}

Status MemoryService::Forget(const std::string& name_space, int64_t id, bool erase) {
  QWEN25_RETURN_IF_ERROR(Get(name_space, id).status());
  const std::lock_guard lock(mutex_);
  QWEN25_TRY(NoteStore * store, Store(/*create=*/false));
  QWEN25_TRY(const size_t count, store->Forget(std::array{id}, erase));
  if (count == 0) return NotFound("there is no note {} in this namespace", id);
  if (blocks_) return RemoveForgottenNotes(*blocks_, *store, name_space, erase);
  Status later;
  return RemoveForgottenNotes(options_.place, *store, erase, later);
}

}  // namespace qwen25

#include "knowledge/dialogue/conversation.h"

#include <algorithm>

#include "text/qwen_chat.h"

namespace qwen25 {
namespace {

using What = ConversationProblem::What;

std::optional<ChatMessage> SystemMessage(const std::optional<std::string>& text) {
  if (!text) return std::nullopt;
  return ChatMessage{.role = "system", .content = *text};
}

// The index of the last question; `messages.size()` if there is none. Tool calls and their results may follow
// it.
size_t LastQuestion(const std::vector<ChatMessage>& messages) {
  for (size_t i = messages.size(); i > 0; --i) {
    if (messages[i - 1].role == "user") return i - 1;
  }
  return messages.size();
}

// Whether there is anything that only a template with tools can say.
bool HasTools(const Dialogue& dialogue) {
  const auto tools = dialogue.other.find("tools");
  if (tools != dialogue.other.end() && !tools->empty()) return true;
  return std::ranges::any_of(dialogue.messages, [](const ChatMessage& message) {
    return message.role == "tool" || !message.tool_calls.empty();
  });
}

}  // namespace

Conversation::Conversation(LoadedModel& model, const Options& options, ConversationEventSink on_event)
    : model_(model),
      options_(options),
      on_event_(std::move(on_event)),
      generate_(options.generate),
      notes_(options.notes, options.memory, model.tokenizer, model.engine->max_context_tokens(), on_event_),
      system_(SystemMessage(options.system)) {
  session_.emplace(*model.engine, options.memory.name_space);
  generate_.stop_tokens.insert(generate_.stop_tokens.end(), model.stop_tokens.begin(),
                               model.stop_tokens.end());
  if (model.chat_template) {
    const std::vector<int32_t> ends = model.chat_template->TurnEnds(model.tokenizer);
    generate_.stop_tokens.insert(generate_.stop_tokens.end(), ends.begin(), ends.end());
  }
}

Result<std::unique_ptr<Conversation>> Conversation::Start(LoadedModel& model, BlockStore* blocks,
                                                          const Options& options,
                                                          ConversationEventSink on_event) {
  const bool recalls = options.recall_dialogues || options.notes.as_blocks;
  if (options.memory.off && recalls) {
    return InvalidArgument(
        "--recall-dialogues and --notes-as blocks recall from the memory, which --no-memory turns off");
  }
  std::unique_ptr<Conversation> conversation(new Conversation(model, options, std::move(on_event)));
  conversation->UseLog();
  if (blocks == nullptr) return conversation;
  conversation->keeps_blocks_ = true;
  conversation->notes_.SetBlockStore(blocks);
  if (recalls) QWEN25_RETURN_IF_ERROR(conversation->RecallByAttention(*blocks));
  return conversation;
}

// From now on attention reads the namespace's stored notes and dialogues, as the options say.
Status Conversation::RecallByAttention(BlockStore& blocks) {
  std::vector<NotePassage> passages;
  if (options_.notes.as_blocks) {
    QWEN25_TRY(passages, notes_.Passages(/*as_turns=*/model_.chat_template.has_value()));
  }
  QWEN25_TRY(recall_, AttentionRecall::Load(model_, blocks,
                                            {.name_space = options_.memory.name_space,
                                             .dialogues = options_.recall_dialogues,
                                             .notes = options_.notes.as_blocks,
                                             .progress = options_.progress},
                                            passages, on_event_));
  if (options_.notes.as_blocks) notes_.SetRecall(&*recall_);
  if (recall_->blocks() == nullptr) return {};
  reads_recalled_ = true;
  return session_->Recall(*recall_->blocks());
}

// Opens the log, and continues its newest dialogue unless the options ask for a new one.
void Conversation::UseLog() {
  if (options_.memory.off) {
    why_no_log_ = InvalidArgument("this chat keeps no dialogues (--no-memory)");
    return;
  }
  const auto open = [&]() -> Result<DialogueLog> {
    QWEN25_RETURN_IF_ERROR(options_.memory.CheckFolder());
    QWEN25_TRY(const std::optional<std::string> key, options_.memory.Key());
    return DialogueLog::Open(options_.memory.Folder(), options_.memory.name_space, key);
  };
  Result<DialogueLog> log = open();
  if (!log.ok()) {
    Tell(ConversationProblem{What::kDialoguesNotKept, log.status()});
    why_no_log_ =
        Status(log.status().code(), fmt::format("this chat keeps no dialogues: {}", log.status().message()));
    return;
  }
  log_.emplace(std::move(*log));
  keeps_dialogues_ = !options_.memory.CanOnlyBeRead();
  const uint32_t latest = log_->Latest();
  if (latest == 0 || options_.start_new || options_.recall_dialogues) return;
  if (const Status status = Resume(latest); !status.ok()) Tell(DialogueUnreadable{status});
}

std::optional<std::string> Conversation::SystemText() const {
  if (system_) return system_->content;
  return model_.chat_template ? model_.chat_template->default_system() : std::nullopt;
}

void Conversation::SetSystem(const std::string& text) {
  system_ = SystemMessage(text);
  StartNew();
}

void Conversation::StartNew() {
  messages_.clear();
  other_ = Json::object();
  place_ = {};
}

Status Conversation::Undo() {
  const size_t question = LastQuestion(messages_);
  if (question == messages_.size()) return InvalidArgument("there is nothing to take back");
  messages_.resize(question);
  return Keep();
}

std::vector<ChatMessage> Conversation::WithSystem() const {
  std::vector<ChatMessage> all;
  if (system_) all.push_back(*system_);
  all.insert(all.end(), messages_.begin(), messages_.end());
  return all;
}

Dialogue Conversation::ToDialogue() const {
  return {.messages = WithSystem(), .other = other_};
}

Status Conversation::Use(Dialogue dialogue) {
  if (dialogue.other.contains("tools")) QWEN25_RETURN_IF_ERROR(CheckTools(dialogue.other["tools"]));
  if (model_.chat_template && !model_.chat_template->knows_tools() && HasTools(dialogue)) {
    return Unsupported(
        "the conversation has tools, calls or their results, and this model's chat template knows none; "
        "use another model, such as Qwen2.5");
  }
  system_.reset();
  std::vector<ChatMessage>& messages = dialogue.messages;
  if (!messages.empty() && messages.front().role == "system") {
    system_ = std::move(messages.front());
    messages.erase(messages.begin());
  }
  messages_ = std::move(messages);
  other_ = std::move(dialogue.other);
  return {};
}

Result<std::vector<DialogueLog::Entry>> Conversation::Dialogues() const {
  if (!log_) return why_no_log_;
  return log_->List();
}

Status Conversation::Resume(uint32_t number) {
  if (!log_) return why_no_log_;
  const std::optional<ChatMessage> system = system_;
  DialogueLog::Place place;
  QWEN25_TRY(Dialogue dialogue, log_->Load(number, &place));
  QWEN25_RETURN_IF_ERROR(Use(std::move(dialogue)));
  place_ = place;
  // A system text that was set wins, and begins a new dialogue: it is not put into the old one.
  if (system && system != system_) {
    system_ = system;
    StartNew();
    return {};
  }
  const size_t question = LastQuestion(messages_);
  const size_t first = question == messages_.size() ? 0 : question;
  Tell(DialogueResumed{.number = number,
                       .num_messages = messages_.size(),
                       .last_turn = {messages_.begin() + static_cast<ptrdiff_t>(first), messages_.end()}});
  return {};
}

// A model without a chat template only continues text: it reads the conversation as plain paragraphs.
Result<std::vector<int32_t>> Conversation::Prompt(bool inside) const {
  if (model_.chat_template) {
    ChatPromptOptions options{.continue_final_message = inside,
                              .variables = options_.template_variables,
                              .parse_special = options_.parse_special};
    if (other_.contains("tools")) options.tools = other_["tools"];
    if (other_.contains("documents")) options.documents = other_["documents"];
    return model_.chat_template->Encode(model_.tokenizer, WithSystem(), options);
  }
  std::string text = system_ ? system_->content : "";
  for (const ChatMessage& message : messages_) {
    if (!text.empty()) text += message.role == "user" ? "\n\n" : "";
    text += message.content;
  }
  return model_.tokenizer.Encode(
      text,
      {.special = options_.parse_special ? SpecialTokens::kParse : SpecialTokens::kAsText, .add_bos = true});
}

Status Conversation::Ask(const std::string& question, const TextCallback& on_text) {
  messages_.push_back({.role = "user", .content = notes_.WithNotes(question, messages_)});
  num_retries_ = 0;
  const Status status = Answer(/*goes_on=*/false, on_text);
  if (!status.ok()) messages_.pop_back();  // as before the question
  return status;
}

Status Conversation::Continue(const TextCallback& on_text) {
  const bool can = !messages_.empty() && messages_.back().role == "assistant" &&
                   !messages_.back().content.empty() && messages_.back().tool_calls.empty();
  if (!can) return InvalidArgument("there is no answer to go on with");
  return Answer(/*goes_on=*/true, on_text);
}

Status Conversation::Retry(const TextCallback& on_text) {
  const size_t question = LastQuestion(messages_);
  if (question == messages_.size()) return InvalidArgument("there is no question to answer again");
  const auto after = messages_.begin() + static_cast<ptrdiff_t>(question) + 1;
  const std::vector<ChatMessage> answers(after, messages_.end());
  messages_.resize(question + 1);
  ++num_retries_;
  const Status status = Answer(/*goes_on=*/false, on_text);
  if (!status.ok()) messages_.insert(messages_.end(), answers.begin(), answers.end());
  return status;
}

Status Conversation::Answer(bool goes_on, const TextCallback& on_text) {
  QWEN25_TRY(const std::vector<int32_t> prompt, Prompt(goes_on));
  GenerateOptions generate = generate_;
  generate.sampling.seed += num_retries_;
  QWEN25_TRY(const GenerateResult result, Generate(*session_, model_.tokenizer, prompt, generate, on_text));
  if (goes_on) {
    messages_.back().content += result.text;
  } else {
    messages_.push_back({.role = "assistant", .content = result.text});
  }
  Tell(Answered{&result});
  if (recall_) {
    if (const AttentionRead read = recall_->TakeReads(); !read.shares.empty()) Tell(read);
  }
  if (!result.reuse.store.ok()) Tell(ConversationProblem{What::kStoredBlocks, result.reuse.store});
  Remember();
  return {};
}

Status Conversation::Keep() {
  if (!log_ || !keeps_dialogues_) return {};
  const uint32_t number = place_.number;
  QWEN25_RETURN_IF_ERROR(log_->Save(ToDialogue(), place_));
  if (number != 0 && place_.number != number) Tell(DialogueMoved{.from = number, .to = place_.number});
  return {};
}

// Stores what the answer leaves behind: the dialogue, and the keys and values that it was computed with.
void Conversation::Remember() {
  const Status kept = Keep();
  if (!kept.ok()) Tell(ConversationProblem{What::kNotRemembered, kept});
  if (!keeps_blocks_) return;
  const Result<Remembered> remembered = session_->Remember();
  if (!remembered.ok()) {
    Tell(ConversationProblem{What::kNotRemembered, remembered.status()});
  } else if (remembered->num_unnamed > 0 && !said_not_stored_) {
    said_not_stored_ = true;
    Tell(BlocksNotStored{remembered->num_unnamed});
  }
}

Status Conversation::SwitchMemory(bool on) {
  notes_.Switch(on);
  if (!recall_ || recall_->blocks() == nullptr || reads_recalled_ == on) return {};
  // A session cannot drop recalled blocks that its tokens were computed with.
  session_.emplace(*model_.engine, options_.memory.name_space);
  said_not_stored_ = false;
  if (on) QWEN25_RETURN_IF_ERROR(session_->Recall(*recall_->blocks()));
  reads_recalled_ = on;
  return {};
}

}  // namespace qwen25

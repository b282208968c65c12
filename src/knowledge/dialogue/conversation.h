// A conversation with a model: questions, answers, what the memory adds to them, and what is kept of them.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "infer/load_model.h"
#include "infer/session.h"
#include "knowledge/dialogue/attention_recall.h"
#include "knowledge/dialogue/conversation_event.h"
#include "knowledge/dialogue/conversation_notes.h"
#include "knowledge/dialogue/dialogue_log.h"
#include "text/chat_message.h"

namespace qwen25 {

// One conversation of one user; used by one thread at a time.
class Conversation {
 public:
  struct Options {
    GenerateOptions generate;  // the model's stop tokens are added
    MemoryPlace memory;
    ConversationNotes::Options notes;
    std::optional<std::string> system;  // none: that of the dialogue, else the chat template's
    bool parse_special = false;         // ChatTemplateOptions::parse_special
    bool start_new = false;             // instead of going on with the newest dialogue
    bool recall_dialogues = false;      // in a new one, attention reads earlier ones
    // While notes are computed as blocks; false stops.
    std::function<bool(size_t done, size_t total)> progress = nullptr;
  };
  // `blocks`: the store of the model's engine, or null. Both must outlive the conversation, as must what
  // `options.generate` points to. Dialogues are kept even if there is no store, and if they cannot be, the
  // conversation goes on without (why_no_log). Errors: memory flags that contradict each other, and those of
  // AttentionRecall::Load. `on_event` is called by the methods below, in order.
  static Result<std::unique_ptr<Conversation>> Start(LoadedModel& model, BlockStore* blocks,
                                                     const Options& options, ConversationEventSink on_event);

  // Answers; `on_text` gets the answer in pieces, and stops it by returning false. After an error the
  // conversation is as it was before the question.
  Status Ask(const std::string& question, const TextCallback& on_text);

  // The system text that the model reads; none: the model has no chat template.
  std::optional<std::string> SystemText() const;
  // Begins a new conversation with this system text.
  void SetSystem(const std::string& text);
  // Begins a new conversation; the old one stays on disk.
  void StartNew();
  // Takes back the last question and all that followed.
  Status Undo();

  const std::vector<ChatMessage>& messages() const { return messages_; }  // without the system message
  // All of it, as a file holds it.
  Dialogue ToDialogue() const;
  // Goes on with it instead. kInvalidArgument for tools that are none.
  Status Use(Dialogue dialogue);

  // The dialogues on disk, and the number of this one (0: not kept yet).
  Result<std::vector<DialogueLog::Entry>> Dialogues() const;
  uint32_t number() const { return place_.number; }
  // Goes on with one of them.
  Status Resume(uint32_t number);

  ConversationNotes& notes() { return notes_; }
  // Off: no notes are used or made, and attention reads nothing that is recalled. What has been said is read
  // again without it.
  Status SwitchMemory(bool on);

  size_t num_tokens() const { return session_->tokens().size(); }

 private:
  Conversation(LoadedModel& model, const Options& options, ConversationEventSink on_event);

  Status RecallByAttention(BlockStore& blocks);
  void UseLog();
  std::vector<ChatMessage> WithSystem() const;
  std::vector<int32_t> Prompt() const;
  // The dialogue on disk is as it is here.
  Status Keep();
  void Remember();
  void Tell(const ConversationEvent& event) const { on_event_(event); }

  LoadedModel& model_;
  const Options options_;
  const ConversationEventSink on_event_;
  GenerateOptions generate_;
  std::optional<AttentionRecall> recall_;  // outlives the session
  std::optional<Session> session_;         // always there
  bool reads_recalled_ = false;            // the session was given recall_'s blocks
  ConversationNotes notes_;
  std::optional<ChatMessage> system_;
  std::vector<ChatMessage> messages_;
  Json other_ = Json::object();  // what a dialogue's file holds beside its messages
  std::optional<DialogueLog> log_;
  Status why_no_log_;
  bool keeps_dialogues_ = false, keeps_blocks_ = false;
  bool said_not_stored_ = false;
  DialogueLog::Place place_;
};

}  // namespace qwen25

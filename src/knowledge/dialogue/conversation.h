// A conversation with a model: questions, answers, what the memory adds to them, and what it keeps of them.
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
    std::optional<std::string> system;         // none: that of the dialogue, else the chat template's
    bool parse_special = false;                // ChatPromptOptions::parse_special
    Json template_variables = Json::object();  // ChatPromptOptions::variables
    bool start_new = false;                    // instead of continuing the newest dialogue
    bool recall_dialogues = false;             // begin a new one whose attention reads earlier ones
    // Called while notes are computed as blocks; false stops that. May be null.
    std::function<bool(size_t done, size_t total)> progress = nullptr;
  };
  // `blocks`: the store of the model's engine, or null. It, `model` and what `options.generate` points to
  // must outlive the conversation. Dialogues are kept even without a store. If they cannot be kept,
  // `on_event` is told and the conversation goes on. kInvalidArgument for memory options that contradict each
  // other; errors of AttentionRecall::Load. This and the methods below call `on_event`.
  static Result<std::unique_ptr<Conversation>> Start(LoadedModel& model, BlockStore* blocks,
                                                     const Options& options, ConversationEventSink on_event);

  // Answers a question. `on_text` gets the answer in pieces, and stops it by returning false. After an error,
  // such as one of the chat template, the conversation is as it was before the question.
  Status Ask(const std::string& question, const TextCallback& on_text);
  // Goes on with the last answer, which may be one that somebody else began. kInvalidArgument if the last
  // message is not an answer in words. Errors leave the conversation as it was.
  Status Continue(const TextCallback& on_text);
  // Answers the last question once more, in place of what followed it. Each time, tokens are drawn from
  // another seed, the next number after the last one's, so that a temperature above 0 gives another answer.
  // kInvalidArgument if there is no question. Errors leave the conversation as it was.
  Status Retry(const TextCallback& on_text);

  // The system text that the model reads; nothing if none is set, and the model has no chat template, or one
  // whose own text is not known.
  std::optional<std::string> SystemText() const;
  // Begins a new conversation with this system text.
  void SetSystem(const std::string& text);
  // Begins a new conversation; the old one stays on disk.
  void StartNew();
  // Takes back the last question and all that followed. kInvalidArgument if there is none.
  Status Undo();

  const std::vector<ChatMessage>& messages() const { return messages_; }  // without the system message
  // The whole conversation, as a file holds it.
  Dialogue ToDialogue() const;
  // Continues with `dialogue` instead. kInvalidArgument if its tools are malformed.
  Status Use(Dialogue dialogue);

  // The dialogues on disk, and the number of this one (0: not saved yet).
  Result<std::vector<DialogueLog::Entry>> Dialogues() const;
  uint32_t number() const { return place_.number; }
  // Continues one of them. If another system text was set, it stays, and a new dialogue begins. Errors of
  // DialogueLog::Load.
  Status Resume(uint32_t number);

  ConversationNotes& notes() { return notes_; }
  // If off, no notes are used or made, and attention reads no recalled blocks. Each switch of recall makes
  // the model read the conversation again.
  Status SwitchMemory(bool on);

  size_t num_tokens() const { return session_->tokens().size(); }

 private:
  Conversation(LoadedModel& model, const Options& options, ConversationEventSink on_event);

  Status RecallByAttention(BlockStore& blocks);
  void UseLog();
  std::vector<ChatMessage> WithSystem() const;
  // With `inside`, ends in the middle of the last message.
  Result<std::vector<int32_t>> Prompt(bool inside = false) const;
  // Generates from the prompt, appends to the last answer or adds one, tells and remembers.
  Status Answer(bool goes_on, const TextCallback& on_text);
  // Saves the dialogue, if dialogues are kept.
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
  uint64_t num_retries_ = 0;  // of the last question
  DialogueLog::Place place_;
};

}  // namespace qwen25

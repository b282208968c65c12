#include <unistd.h>

#include <charconv>
#include <iostream>
#include <memory>

#include "base/file.h"
#include "base/json.h"
#include "cli/chat_notes.h"
#include "cli/chat_recall.h"
#include "cli/flags/memory_flags.h"
#include "cli/flags/model_flags.h"
#include "cli/flags/sampling_flags.h"
#include "cli/flags/speculation_flags.h"
#include "cli/terminal/interrupt.h"
#include "cli/terminal/line_reader.h"
#include "cli/verb.h"
#include "infer/generate.h"
#include "knowledge/dialogue/dialogue_log.h"
#include "text/chat_template.h"
#include "text/python_json.h"

namespace qwen25 {
namespace {

struct ChatFlags {
  ModelFlags model;
  SamplingFlags sampling;
  DraftChoice speculation;
  MemoryFlags memory;
  ChatNotesFlags notes;
  std::optional<std::string> system;
  size_t max_new_tokens = 1024;
  bool start_new = false, recall_dialogues = false, parse_special = false;
};

constexpr const char* kHelp =
    "  /help            this list\n"
    "  /system TEXT     set the system text and start over; without TEXT show it\n"
    "  /reset           start a new dialogue; the old one stays on disk\n"
    "  /undo            take back the last question and its answer\n"
    "  /dialogues       list the dialogues on disk\n"
    "  /resume NUMBER   go on with one of them\n"
    "  /save FILE       write the conversation as JSON (OpenAI messages)\n"
    "  /load FILE       continue a saved conversation\n"
    "  /stats           tokens in the context, speed of the last answer\n"
    "  /quit            leave (also Ctrl-D)\n"
    "  Ctrl-C           stop the answer, not the program\n"
    "  A line that ends in \\ goes on in the next one.\n";

// One conversation at the terminal.
class Chat {
 public:
  // `drafter` may be null.
  Chat(const ChatFlags& flags, LoadedModel& model, const SamplingOptions& sampling, Drafter* drafter)
      : model_(model),
        session_(*model.engine, flags.memory.name_space),
        notes_(flags.notes, flags.memory, model.tokenizer, model.engine->max_context_tokens()),
        system_(SystemMessage(flags.system)),
        parse_special_(flags.parse_special) {
    options_.sampling = sampling;
    options_.drafter = drafter;
    options_.max_draft_tokens = flags.speculation.draft_tokens;
    options_.max_new_tokens = flags.max_new_tokens;
    options_.stop_tokens = model.stop_tokens;
    if (model.default_system) {
      if (const auto id = model.tokenizer.TokenId("<|im_end|>")) options_.stop_tokens.push_back(*id);
    }
  }

  void UseBlockStore(BlockStore& store) {
    notes_.SetBlockStore(&store);
    keeps_blocks_ = true;
  }
  // Why UseLog was not called, or failed.
  void SayWhyNoLog(std::string why) { why_no_log_ = std::move(why); }

  // From now on attention reads what the namespace's notes and dialogues left behind; the latter are for a
  // new one.
  Status RecallByAttention(BlockStore& store, const ChatRecall::Options& options) {
    std::vector<NotePassage> passages;
    if (options.notes) {
      QWEN25_TRY(passages, notes_.Passages(/*as_turns=*/model_.default_system.has_value()));
    }
    QWEN25_TRY(recall_, ChatRecall::Load(model_, store, options, passages));
    if (options.notes) notes_.SetRecall(&*recall_);
    return recall_->blocks() != nullptr ? session_.Recall(*recall_->blocks()) : Status();
  }

  // Goes on with the newest dialogue on disk, or, with `start_new`, begins another one behind it.
  Status UseLog(const MemoryFlags& memory, bool start_new) {
    keeps_dialogues_ = !CanOnlyBeRead(memory);
    QWEN25_TRY(const std::optional<std::string> key, memory.Key());
    QWEN25_TRY(log_, DialogueLog::Open(memory.Folder(), memory.name_space, key));
    const uint32_t latest = log_->Latest();
    if (latest == 0 || start_new) return {};
    const Status status = Resume(latest);
    if (status.code() != StatusCode::kCorrupt && status.code() != StatusCode::kInvalidArgument) return status;
    fmt::print("[the last dialogue cannot be read, and another one begins: {}]\n", status.message());
    return {};
  }

  // The last error that was not the user's, of all answers.
  const Status& failed() const { return failed_; }

  // False: the user wants to leave.
  bool Handle(const std::string& line) {
    if (line.empty()) return true;
    if (line[0] != '/') {
      if (const Status status = Ask(line); !status.ok()) fmt::print("{}\n", status.message());
      return true;
    }
    const size_t space = line.find(' ');
    const std::string command = line.substr(0, space);
    const std::string argument = space == std::string::npos ? "" : line.substr(space + 1);
    if (command == "/quit" || command == "/exit") return false;
    if (const Status status = Command(command, argument); !status.ok()) fmt::print("{}\n", status.message());
    return true;
  }

 private:
  Status Command(const std::string& command, const std::string& argument) {
    if (const auto status = notes_.Command(command, argument)) return *status;
    if (command == "/help") {
      fmt::print("{}{}", kChatNotesHelp, kHelp);
    } else if (command == "/system") {
      if (argument.empty()) {
        const std::string text =
            system_ ? system_->content
                    : model_.default_system.value_or("(none: this model has no chat template)");
        fmt::print("{}\n", text.empty() ? "(empty)" : text);
      } else {
        system_ = SystemMessage(argument);
        StartNew();
      }
    } else if (command == "/reset") {
      StartNew();
    } else if (command == "/undo") {
      // A question may have led to calls and their results before it was answered.
      size_t last = messages_.size();
      while (last > 0 && messages_[last - 1].role != "user") --last;
      if (last == 0) return InvalidArgument("there is nothing to take back");
      messages_.resize(last - 1);
      return Keep();
    } else if (command == "/dialogues") {
      return ListDialogues();
    } else if (command == "/resume") {
      uint32_t number = 0;
      const auto [end, error] = std::from_chars(argument.data(), argument.data() + argument.size(), number);
      if (!log_ || error != std::errc() || end != argument.data() + argument.size()) {
        return InvalidArgument("/resume needs a number that /dialogues lists");
      }
      return Resume(number);
    } else if (command == "/save") {
      return Save(argument);
    } else if (command == "/load") {
      return Load(argument);
    } else if (command == "/stats") {
      fmt::print("{} of {} tokens in the context{}\n", session_.tokens().size(),
                 model_.engine->max_context_tokens(), last_stats_);
    } else {
      return InvalidArgument("there is no command {}; /help lists them", command);
    }
    return {};
  }

  std::vector<ChatMessage> WithSystem() const {
    std::vector<ChatMessage> all;
    if (system_) all.push_back(*system_);
    all.insert(all.end(), messages_.begin(), messages_.end());
    return all;
  }

  // A model without a chat template only continues text: the conversation is then plain paragraphs.
  std::vector<int32_t> Prompt() const {
    if (model_.default_system) {
      ChatTemplateOptions options;
      options.default_system = *model_.default_system;
      options.parse_special = parse_special_;
      if (other_.contains("tools")) options.tools = other_["tools"];
      return EncodeChat(model_.tokenizer, WithSystem(), options, /*add_bos=*/true);
    }
    std::string text = system_ ? system_->content : "";
    for (const ChatMessage& message : messages_) {
      if (!text.empty()) text += message.role == "user" ? "\n\n" : "";
      text += message.content;
    }
    const SpecialTokens special = parse_special_ ? SpecialTokens::kParse : SpecialTokens::kAsText;
    return model_.tokenizer.Encode(text, {.special = special, .add_bos = true});
  }

  Status Ask(const std::string& question) {
    messages_.push_back({.role = "user", .content = notes_.WithNotes(question, messages_)});
    const std::vector<int32_t> tokens = Prompt();
    InterruptGuard::Reset();
    const auto result = Generate(session_, model_.tokenizer, tokens, options_, [](std::string_view piece) {
      fmt::print("{}", piece);
      std::fflush(stdout);
      return !InterruptGuard::requested();
    });
    if (!result.ok()) {
      messages_.pop_back();  // the question was not answered: the conversation is as it was
      const StatusCode code = result.status().code();
      if (code != StatusCode::kCancelled && code != StatusCode::kInvalidArgument) failed_ = result.status();
      return result.status();
    }
    fmt::print("{}\n", result->finish_reason == FinishReason::kCancelled ? " [stopped]" : "");
    if (result->finish_reason == FinishReason::kContextFull) {
      fmt::print("[the context of {} tokens is full; /reset starts over]\n",
                 model_.engine->max_context_tokens());
    }
    if (!result->error.ok()) {
      fmt::print("[the answer ends here: {}]\n", result->error.message());
      failed_ = result->error;
    }
    messages_.push_back({.role = "assistant", .content = result->text});
    const std::string known = ReuseSummary(result->reuse, result->num_prompt_tokens);
    if (result->reuse.stored > 0) fmt::print("[{}]\n", known);
    if (const std::string read = recall_ ? recall_->TakeReads() : ""; !read.empty()) {
      fmt::print("[attention read {}]\n", read);
    }
    if (!result->reuse.store.ok()) fmt::print("[memory: {}]\n", result->reuse.store.message());
    last_stats_ = fmt::format(
        "; last answer: {} tokens at {:.1f} tokens/s after a prompt of {:.2f} s; {}", result->tokens.size(),
        static_cast<double>(result->tokens.size()) / result->decode_seconds, result->prompt_seconds, known);
    if (options_.drafter) last_stats_ += "; " + SpeculationSummary(result->speculation);
    Remember();
    return {};
  }

  Status Save(const std::string& path) const {
    if (path.empty()) return InvalidArgument("/save needs a file name");
    const Dialogue dialogue = ToKeep();
    QWEN25_RETURN_IF_ERROR(WriteFileAtomically(path, RenderDialogue(dialogue)));
    fmt::print("saved {} messages to {}\n", dialogue.messages.size(), path);
    return {};
  }

  Status Load(const std::string& path) {
    if (path.empty()) return InvalidArgument("/load needs a file name");
    QWEN25_TRY(Dialogue dialogue, ReadDialogueFile(path));
    QWEN25_RETURN_IF_ERROR(Use(std::move(dialogue)));
    for (const ChatMessage& message : messages_) Show(message);
    return {};
  }

  static std::optional<ChatMessage> SystemMessage(const std::optional<std::string>& text) {
    if (!text) return std::nullopt;
    return ChatMessage{.role = "system", .content = *text};
  }

  static void Show(const ChatMessage& message) {
    if (!message.content.empty() || message.tool_calls.empty()) {
      fmt::print("{}{}\n", message.role == "user" ? "> " : "", message.content);
    }
    for (const ToolCall& call : message.tool_calls) {
      fmt::print("[calls {} with {}]\n", call.name, PythonJson(call.arguments));
    }
  }

  Status Use(Dialogue dialogue) {
    if (dialogue.other.contains("tools")) QWEN25_RETURN_IF_ERROR(CheckTools(dialogue.other["tools"]));
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

  Dialogue ToKeep() const { return {.messages = WithSystem(), .other = other_}; }

  // The dialogue on disk is as it is here.
  Status Keep() {
    if (!log_ || !keeps_dialogues_) return {};
    const uint32_t number = place_.number;
    QWEN25_RETURN_IF_ERROR(log_->Save(ToKeep(), place_));
    if (number != 0 && place_.number != number) {
      fmt::print("[another chat has gone on with dialogue {}; this one is kept as dialogue {}]\n", number,
                 place_.number);
    }
    return {};
  }

  void StartNew() {
    messages_.clear();
    other_ = Json::object();
    place_ = {};
  }

  Status Resume(uint32_t number) {
    const std::optional<ChatMessage> system = system_;
    DialogueLog::Place place;
    QWEN25_TRY(Dialogue dialogue, log_->Load(number, &place));
    QWEN25_RETURN_IF_ERROR(Use(std::move(dialogue)));
    place_ = place;
    // A system text of one's own wins, and is not put into somebody else's dialogue.
    if (system && system != system_) {
      system_ = system;
      StartNew();
      return {};
    }
    fmt::print("[going on with dialogue {} of {} messages; /reset starts a new one]\n", number,
               messages_.size());
    size_t last = messages_.size();  // the last question
    while (last > 0 && messages_[last - 1].role != "user") --last;
    for (size_t i = last == 0 ? 0 : last - 1; i < messages_.size(); ++i) Show(messages_[i]);
    return {};
  }

  Status ListDialogues() const {
    if (!log_) return InvalidArgument("this chat keeps no dialogues{}", why_no_log_);
    for (const DialogueLog::Entry& entry : log_->List()) {
      fmt::print("{} {:>5}  {:>4} messages  {}\n", entry.number == place_.number ? "*" : " ", entry.number,
                 entry.num_messages, entry.first_question.substr(0, entry.first_question.find('\n')));
    }
    return {};
  }

  // What the answer leaves behind: the dialogue, and the keys and values that it was computed with.
  void Remember() {
    if (const Status kept = Keep(); !kept.ok()) fmt::print("[not remembered: {}]\n", kept.message());
    if (!keeps_blocks_) return;
    const Result<Remembered> remembered = session_.Remember();
    if (!remembered.ok()) {
      fmt::print("[not remembered: {}]\n", remembered.status().message());
    } else if (remembered->num_unnamed > 0 && !said_unnamed_) {
      said_unnamed_ = true;
      fmt::print(
          "[keys and values from here on are not stored: what attention recalls has changed in the middle of "
          "this "
          "conversation; it is kept, and is computed anew when it goes on]\n");
    }
  }

  LoadedModel& model_;
  std::optional<ChatRecall> recall_;  // outlives the session
  Session session_;
  GenerateOptions options_;
  ChatNotes notes_;
  std::optional<ChatMessage> system_;
  bool parse_special_;
  std::vector<ChatMessage> messages_;  // without the system message
  Json other_ = Json::object();        // what a loaded file holds beside its messages
  std::optional<DialogueLog> log_;
  std::string why_no_log_;
  bool keeps_dialogues_ = false, keeps_blocks_ = false;
  bool said_unnamed_ = false;
  DialogueLog::Place place_;  // of this dialogue in the log
  std::string last_stats_;
  Status failed_;
};

Status RunChat(const ChatFlags& flags) {
  std::unique_ptr<BlockStore> store;  // outlives the engine
  QWEN25_TRY(LoadedModel model, LoadModel(flags.model));
  store = AttachBlockStore(flags.memory, *model.engine);
  const SamplingOptions sampling = flags.sampling.Over(model.sampling);
  QWEN25_TRY(const LoadedDrafter drafter, LoadDrafter(flags.speculation, flags.model, model, sampling));
  if (flags.memory.off && (flags.recall_dialogues || flags.notes.as_blocks)) {
    return InvalidArgument(
        "--recall-dialogues and --notes-as blocks recall from the memory, which --no-memory turns off");
  }
  Chat chat(flags, model, sampling, drafter.drafter.get());
  if (!flags.memory.off) {
    // Kept even where blocks cannot be.
    const Status status = chat.UseLog(flags.memory, flags.start_new || flags.recall_dialogues);
    if (!status.ok()) {
      fmt::print(stderr, "note: dialogues are not kept: {}\n", status.message());
      chat.SayWhyNoLog(": " + status.message());
    }
  } else {
    chat.SayWhyNoLog(" (--no-memory)");
  }
  if (store) {
    chat.UseBlockStore(*store);
    if (flags.recall_dialogues || flags.notes.as_blocks) {
      QWEN25_RETURN_IF_ERROR(chat.RecallByAttention(*store, {.name_space = flags.memory.name_space,
                                                             .dialogues = flags.recall_dialogues,
                                                             .notes = flags.notes.as_blocks}));
    }
  }
  const bool terminal = ::isatty(STDIN_FILENO) != 0;
  if (terminal) {
    fmt::print("{}\n/help lists the commands, Ctrl-D leaves.\n",
               model.default_system ? "Ready."
                                    : "Ready. This model has no chat template: it continues what you write.");
  }
  const InterruptGuard guard;
  LineReader reader(terminal);
  while (const auto line = reader.Read("> ")) {
    if (!chat.Handle(*line)) break;
  }
  if (terminal) fmt::print("\n");
  // Its last answer, or what there was of it, is kept like every other one.
  if (InterruptGuard::ending()) return Cancelled("the chat was ended by a signal");
  // Whoever reads what a pipe asked for must learn that answers are not whole.
  return terminal ? Status() : chat.failed();
}

}  // namespace

void AddChatVerb(CLI::App& app, RunVerb& run) {
  auto flags = std::make_shared<ChatFlags>();
  CLI::App* verb = app.add_subcommand("chat", "Talk with a model");
  AddModelFlags(*verb, flags->model);
  // Not into an optional, of which the parser makes none of an empty text.
  auto system = std::make_shared<std::string>();
  CLI::Option* system_option =
      verb->add_option("--system", *system, "System text; default: the chat template's own");
  verb->add_option("-n,--max-new-tokens", flags->max_new_tokens, "Most tokens of one answer")
      ->capture_default_str();
  verb->add_flag(
      "--parse-special", flags->parse_special,
      "Control tokens that stand in a message (\"<|im_end|>\") are tokens, not text: whoever wrote "
      "the message can then speak for the system or the assistant");
  AddSamplingFlags(*verb, flags->sampling);
  AddSpeculationFlags(*verb, flags->speculation);
  AddMemoryFlags(*verb, flags->memory);
  AddChatNotesFlags(*verb, flags->notes);
  verb->add_flag("--new", flags->start_new, "Start a new dialogue instead of going on with the last one");
  verb->add_flag("--recall-dialogues", flags->recall_dialogues,
                 "Start a new dialogue in which attention also reads the keys and values of earlier ones, "
                 "where they matter; needs --recall-window (docs/memory.md)");
  verb->footer(
      std::string("Commands in the chat:\n") + kChatNotesHelp + kHelp +
      "\nExamples:\n  qwen25 chat -m Qwen2.5-0.5B-Instruct\n"
      "  qwen25 chat -m Qwen2.5-7B-Instruct --weights int4 --speculate Qwen2.5-0.5B-Instruct\n"
      "  qwen25 chat -m Qwen2.5-0.5B-Instruct --namespace work --new\n"
      "  qwen25 chat -m Qwen2.5-0.5B-Instruct --recall-window 4096 --notes-as blocks --recall-dialogues");
  verb->callback([flags, system, system_option, &run] {
    if (system_option->count() > 0) flags->system = *system;
    run = [flags] { return RunChat(*flags); };
  });
}

}  // namespace qwen25

#include <unistd.h>

#include <charconv>
#include <functional>
#include <memory>

#include "base/file.h"
#include "base/progress.h"
#include "cli/flags/memory_flags.h"
#include "cli/flags/model_flags.h"
#include "cli/flags/sampling_flags.h"
#include "cli/flags/speculation_flags.h"
#include "cli/talk/note_commands.h"
#include "cli/talk/show_events.h"
#include "cli/terminal/interrupt.h"
#include "cli/terminal/line_reader.h"
#include "cli/verb.h"
#include "data/read/text_stream.h"
#include "knowledge/dialogue/conversation.h"
#include "knowledge/dialogue/dialogue_file.h"
#include "text/python_json.h"

namespace qwen25 {
namespace {

struct ChatFlags {
  ModelFlags model;
  SamplingFlags sampling;
  DraftChoice speculation;
  Conversation::Options conversation;
  size_t max_new_tokens = 1024;
};

constexpr const char* kHelp =
    "  /help            this list\n"
    "  /system TEXT     set the system text and start over; without TEXT show it\n"
    "  /reset           start a new dialogue; the old one stays on disk\n"
    "  /undo            take back the last question and its answer\n"
    "  /retry           answer the last question again; at a temperature above 0, differently\n"
    "  /continue        go on with the last answer, such as one that Ctrl-C or -n ended\n"
    "  /dialogues       list the dialogues on disk\n"
    "  /resume NUMBER   go on with one of them\n"
    "  /save FILE       write the conversation as JSON (OpenAI messages)\n"
    "  /load FILE       continue a saved conversation\n"
    "  /stats           tokens in the context, speed of the last answer\n"
    "  /quit            leave (also Ctrl-D)\n"
    "  Ctrl-C           stop the answer, not the program\n"
    "  A line that ends in \\ goes on in the next one.\n";

// One conversation at the terminal: reads its lines, and prints what happens.
class Chat {
 public:
  explicit Chat(LoadedModel& model) : model_(model) {}

  Status Start(BlockStore* blocks, const Conversation::Options& options) {
    has_drafter_ = options.generate.drafter != nullptr;
    Conversation::Options wanted = options;
    wanted.progress = [this](size_t done, size_t total) {
      if (!progress_) progress_.emplace("notes", "chunks", total);
      progress_->Update(done);
      return !InterruptGuard::requested();
    };
    std::optional<InterruptGuard> guard;
    if (options.notes.as_blocks) guard.emplace();  // notes are computed, which may take long
    QWEN25_TRY(conversation_, Conversation::Start(model_, blocks, wanted,
                                                  [this](const ConversationEvent& event) { Show(event); }));
    return {};
  }

  // The last error that was not the user's, of all answers.
  const Status& failed() const { return failed_; }

  // False: the user wants to leave.
  bool Handle(const std::string& line) {
    if (line.empty()) return true;
    if (line[0] != '/') {
      const Status status = Answer([&](const TextCallback& show) { return conversation_->Ask(line, show); });
      if (!status.ok()) fmt::print("{}\n", status.message());
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
    if (const auto status = RunNoteCommand(*conversation_, command, argument)) return *status;
    if (command == "/help") {
      fmt::print("{}{}", kNoteCommandsHelp, kHelp);
    } else if (command == "/system") {
      if (!argument.empty()) {
        conversation_->SetSystem(argument);
      } else {
        const std::string text = conversation_->SystemText().value_or(
            model_.chat_template ? "(none is set; the model's chat template may have one of its own)"
                                 : "(none: this model has no chat template)");
        fmt::print("{}\n", text.empty() ? "(empty)" : text);
      }
    } else if (command == "/reset") {
      conversation_->StartNew();
    } else if (command == "/undo") {
      return conversation_->Undo();
    } else if (command == "/retry") {
      return Answer([&](const TextCallback& show) { return conversation_->Retry(show); });
    } else if (command == "/continue") {
      return Continue();
    } else if (command == "/dialogues") {
      return ListDialogues();
    } else if (command == "/resume") {
      uint32_t number = 0;
      const auto [end, error] = std::from_chars(argument.data(), argument.data() + argument.size(), number);
      if (error != std::errc() || end != argument.data() + argument.size()) {
        return InvalidArgument("/resume needs a number that /dialogues lists");
      }
      return conversation_->Resume(number);
    } else if (command == "/save") {
      return Save(argument);
    } else if (command == "/load") {
      return Load(argument);
    } else if (command == "/stats") {
      fmt::print("{} of {} tokens in the context{}\n", conversation_->num_tokens(),
                 model_.engine->max_context_tokens(), last_stats_);
    } else {
      return InvalidArgument("there is no command {}; /help lists them", command);
    }
    return {};
  }

  // Prints what `answer` writes.
  Status Answer(const std::function<Status(const TextCallback&)>& answer) {
    InterruptGuard::Reset();
    const Status status = answer([](std::string_view piece) {
      fmt::print("{}", piece);
      std::fflush(stdout);
      return !InterruptGuard::requested();
    });
    const StatusCode code = status.code();
    if (!status.ok() && code != StatusCode::kCancelled && code != StatusCode::kInvalidArgument)
      failed_ = status;
    return status;
  }

  Status Continue() {
    const auto length = [&] {
      return conversation_->messages().empty() ? 0 : conversation_->messages().back().content.size();
    };
    const size_t before = length();
    QWEN25_RETURN_IF_ERROR(Answer([&](const TextCallback& show) { return conversation_->Continue(show); }));
    if (length() == before) fmt::print("The model has nothing to add.\n");
    return {};
  }

  void Show(const ConversationEvent& event) {
    progress_.reset();
    ShowEvent(event, model_.engine->max_context_tokens());
    if (const auto* answered = std::get_if<Answered>(&event)) NoteStats(*answered->result);
  }

  void NoteStats(const GenerateResult& result) {
    if (!result.error.ok()) failed_ = result.error;
    last_stats_ =
        fmt::format("; last answer: {} tokens at {:.1f} tokens/s after a prompt of {:.2f} s; {}",
                    result.tokens.size(), static_cast<double>(result.tokens.size()) / result.decode_seconds,
                    result.prompt_seconds, ReuseSummary(result.reuse, result.num_prompt_tokens));
    if (has_drafter_) last_stats_ += "; " + SpeculationSummary(result.speculation);
  }

  Status Save(const std::string& path) const {
    if (path.empty()) return InvalidArgument("/save needs a file name");
    const Dialogue dialogue = conversation_->ToDialogue();
    QWEN25_RETURN_IF_ERROR(WriteFileAtomically(path, RenderDialogue(dialogue)));
    fmt::print("saved {} messages to {}\n", dialogue.messages.size(), path);
    return {};
  }

  Status Load(const std::string& path) {
    if (path.empty()) return InvalidArgument("/load needs a file name");
    // "-" is a path here: the chat itself reads standard input.
    QWEN25_TRY(const std::string text, ReadText(path == "-" ? "./-" : path));
    QWEN25_TRY(Dialogue dialogue, ParseDialogueFile(text, path));
    QWEN25_RETURN_IF_ERROR(conversation_->Use(std::move(dialogue)));
    for (const ChatMessage& message : conversation_->messages()) ShowMessage(message);
    return {};
  }

  Status ListDialogues() const {
    QWEN25_TRY(const std::vector<DialogueLog::Entry> entries, conversation_->Dialogues());
    for (const DialogueLog::Entry& entry : entries) {
      fmt::print("{} {:>5}  {:>4} messages  {}\n", entry.number == conversation_->number() ? "*" : " ",
                 entry.number, entry.num_messages,
                 entry.first_question.substr(0, entry.first_question.find('\n')));
    }
    return {};
  }

  LoadedModel& model_;
  std::unique_ptr<Conversation> conversation_;
  std::optional<Progress> progress_;  // of notes that are computed
  bool has_drafter_ = false;
  std::string last_stats_;
  Status failed_;
};

Status ReadTemplateVariables(const std::string& text, Conversation::Options& options) {
  if (text.empty()) return {};
  QWEN25_TRY(options.template_variables, ParsePythonJson(text, "--template-variables"));
  if (options.template_variables.is_object()) return {};
  return InvalidArgument("--template-variables is {}, expected a JSON object", text);
}

Status RunChat(const ChatFlags& flags) {
  std::unique_ptr<BlockStore> store;  // outlives the engine
  QWEN25_TRY(LoadedModel model, LoadModel(flags.model));
  Conversation::Options options = flags.conversation;
  store = AttachBlockStore(options.memory, *model.engine);
  options.generate.sampling = flags.sampling.Over(model.sampling);
  QWEN25_TRY(const LoadedDrafter drafter,
             LoadDrafter(flags.speculation, flags.model, model, options.generate.sampling));
  options.generate.drafter = drafter.drafter.get();
  options.generate.max_draft_tokens = flags.speculation.draft_tokens;
  options.generate.max_new_tokens = flags.max_new_tokens;
  Chat chat(model);
  QWEN25_RETURN_IF_ERROR(chat.Start(store.get(), options));
  const bool terminal = ::isatty(STDIN_FILENO) != 0;
  if (terminal) {
    fmt::print("{}\n/help lists the commands, Ctrl-D leaves.\n",
               model.chat_template ? "Ready."
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
  verb->add_option("--chat-template", flags->model.chat_template,
                   "File with a chat template (Jinja), in place of the model's own")
      ->check(CLI::ExistingFile);
  auto variables = std::make_shared<std::string>();
  verb->add_option("--template-variables", *variables,
                   "Further variables of the chat template, as a JSON object (enable_thinking, ...)");
  verb->add_option("-n,--max-new-tokens", flags->max_new_tokens, "Most tokens of one answer")
      ->capture_default_str();
  verb->add_flag(
      "--parse-special", flags->conversation.parse_special,
      "Control tokens that stand in a message (\"<|im_end|>\") are tokens, not text: whoever wrote "
      "the message can then speak for the system or the assistant");
  AddSamplingFlags(*verb, flags->sampling);
  AddSpeculationFlags(*verb, flags->speculation);
  AddMemoryFlags(*verb, flags->conversation.memory);
  AddNoteFlags(*verb, flags->conversation.notes);
  verb->add_flag("--new", flags->conversation.start_new,
                 "Start a new dialogue instead of going on with the last one");
  verb->add_flag("--recall-dialogues", flags->conversation.recall_dialogues,
                 "Start a new dialogue in which attention also reads the keys and values of earlier ones, "
                 "where they matter; needs --recall-window (docs/memory.md)");
  verb->footer(
      std::string("Commands in the chat:\n") + kNoteCommandsHelp + kHelp +
      "\nExamples:\n  qwen25 chat -m Qwen2.5-0.5B-Instruct\n"
      "  qwen25 chat -m Qwen2.5-7B-Instruct --weights int4 --speculate Qwen2.5-0.5B-Instruct\n"
      "  qwen25 chat -m Qwen2.5-0.5B-Instruct --namespace work --new\n"
      "  qwen25 chat -m Qwen2.5-0.5B-Instruct --recall-window 4096 --notes-as blocks --recall-dialogues\n"
      "  qwen25 chat -m Qwen/Qwen3-0.6B --template-variables '{\"enable_thinking\": false}'");
  verb->callback([flags, system, system_option, variables, &run] {
    if (system_option->count() > 0) flags->conversation.system = *system;
    run = [flags, variables]() -> Status {
      QWEN25_RETURN_IF_ERROR(ReadTemplateVariables(*variables, flags->conversation));
      return RunChat(*flags);
    };
  });
}

}  // namespace qwen25

#include <unistd.h>

#include <iostream>
#include <memory>

#include "base/file.h"
#include "base/json.h"
#include "cli/chat_notes.h"
#include "cli/interrupt.h"
#include "cli/line_reader.h"
#include "cli/load_model.h"
#include "cli/speculation_flags.h"
#include "cli/verb.h"
#include "text/chat_template.h"

namespace qwen25 {
namespace {

struct ChatFlags {
  ModelFlags model;
  SamplingFlags sampling;
  SpeculationFlags speculation;
  ChatNotesFlags notes;
  std::string system;
  size_t max_new_tokens = 1024;
};

constexpr const char* kHelp =
    "  /help            this list\n"
    "  /system TEXT     set the system text and start over; without TEXT show it\n"
    "  /reset           forget the conversation\n"
    "  /undo            take back the last question and its answer\n"
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
        session_(*model.engine),
        notes_(flags.notes, model.tokenizer, model.engine->max_context_tokens()),
        system_(flags.system) {
    options_.sampling = sampling;
    options_.drafter = drafter;
    options_.max_draft_tokens = flags.speculation.draft_tokens;
    options_.max_new_tokens = flags.max_new_tokens;
    options_.stop_tokens = model.stop_tokens;
    if (model.default_system) {
      if (const auto id = model.tokenizer.TokenId("<|im_end|>")) options_.stop_tokens.push_back(*id);
    }
  }

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
        fmt::print("{}\n", system_.empty()
                               ? model_.default_system.value_or("(none: this model has no chat template)")
                               : system_);
      } else {
        system_ = argument;
        messages_.clear();
      }
    } else if (command == "/reset") {
      messages_.clear();
    } else if (command == "/undo") {
      if (messages_.size() < 2) return InvalidArgument("there is nothing to take back");
      messages_.resize(messages_.size() - 2);
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
    if (!system_.empty()) all.push_back({.role = "system", .content = system_});
    all.insert(all.end(), messages_.begin(), messages_.end());
    return all;
  }

  // A model without a chat template only continues text: the conversation is then plain paragraphs.
  std::string Prompt() const {
    if (model_.default_system) {
      ChatTemplateOptions options;
      options.default_system = *model_.default_system;
      return RenderChat(WithSystem(), options);
    }
    std::string text = system_;
    for (const ChatMessage& message : messages_) {
      if (!text.empty()) text += message.role == "user" ? "\n\n" : "";
      text += message.content;
    }
    return text;
  }

  Status Ask(const std::string& question) {
    messages_.push_back({.role = "user", .content = notes_.WithNotes(question, messages_)});
    EncodeOptions encode;
    encode.add_bos = true;
    const std::vector<int32_t> tokens = model_.tokenizer.Encode(Prompt(), encode);
    InterruptGuard::Reset();
    const auto result = Generate(session_, model_.tokenizer, tokens, options_, [](std::string_view piece) {
      fmt::print("{}", piece);
      std::fflush(stdout);
      return !InterruptGuard::requested();
    });
    if (!result.ok()) {
      messages_.pop_back();  // the question was not answered: the conversation is as it was
      return result.status();
    }
    fmt::print("{}\n", result->finish_reason == FinishReason::kCancelled ? " [stopped]" : "");
    if (result->finish_reason == FinishReason::kContextFull) {
      fmt::print("[the context of {} tokens is full; /reset starts over]\n",
                 model_.engine->max_context_tokens());
    }
    messages_.push_back({.role = "assistant", .content = result->text});
    last_stats_ = fmt::format(
        "; last answer: {} tokens at {:.1f} tokens/s, prompt {} tokens of which {} were known",
        result->tokens.size(), static_cast<double>(result->tokens.size()) / result->decode_seconds,
        result->num_prompt_tokens, result->num_reused_tokens);
    if (options_.drafter) last_stats_ += "; " + SpeculationSummary(result->speculation);
    return {};
  }

  Status Save(const std::string& path) const {
    if (path.empty()) return InvalidArgument("/save needs a file name");
    Json messages = Json::array();
    for (const ChatMessage& message : WithSystem()) {
      messages.push_back({{"role", message.role}, {"content", message.content}});
    }
    const Json document = {{"messages", messages}};
    QWEN25_RETURN_IF_ERROR(
        WriteFileAtomically(path, document.dump(2, ' ', false, Json::error_handler_t::replace) + "\n"));
    fmt::print("saved {} messages to {}\n", messages.size(), path);
    return {};
  }

  Status Load(const std::string& path) {
    if (path.empty()) return InvalidArgument("/load needs a file name");
    QWEN25_TRY(const Json document, ReadJsonFile(path));
    if (!document.is_object() || !document.contains("messages")) {
      return InvalidArgument("{}: expected an object with \"messages\", as /save writes it", path);
    }
    QWEN25_TRY(std::vector<ChatMessage> messages, ParseMessages(document["messages"]));
    system_.clear();
    if (!messages.empty() && messages.front().role == "system") {
      system_ = messages.front().content;
      messages.erase(messages.begin());
    }
    messages_ = std::move(messages);
    for (const ChatMessage& message : messages_) {
      fmt::print("{}{}\n", message.role == "user" ? "> " : "", message.content);
    }
    return {};
  }

  LoadedModel& model_;
  Session session_;
  GenerateOptions options_;
  ChatNotes notes_;
  std::string system_;
  std::vector<ChatMessage> messages_;  // without the system message
  std::string last_stats_;
};

Status RunChat(const ChatFlags& flags) {
  QWEN25_TRY(LoadedModel model, LoadModel(flags.model));
  const SamplingOptions sampling = flags.sampling.Over(model.sampling);
  QWEN25_TRY(const LoadedDrafter drafter, LoadDrafter(flags.speculation, flags.model, model, sampling));
  Chat chat(flags, model, sampling, drafter.drafter.get());
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
  return {};
}

}  // namespace

void AddChatVerb(CLI::App& app, RunVerb& run) {
  auto flags = std::make_shared<ChatFlags>();
  CLI::App* verb = app.add_subcommand("chat", "Talk with a model");
  AddModelFlags(*verb, flags->model);
  verb->add_option("--system", flags->system, "System text; default: the chat template's own");
  verb->add_option("-n,--max-new-tokens", flags->max_new_tokens, "Most tokens of one answer")
      ->capture_default_str();
  AddSamplingFlags(*verb, flags->sampling);
  AddSpeculationFlags(*verb, flags->speculation);
  AddChatNotesFlags(*verb, flags->notes);
  verb->footer(std::string("Commands in the chat:\n") + kChatNotesHelp + kHelp +
               "\nExamples:\n  qwen25 chat -m Qwen2.5-0.5B-Instruct\n"
               "  qwen25 chat -m Qwen2.5-7B-Instruct --weights int4 --speculate Qwen2.5-0.5B-Instruct");
  verb->callback([flags, &run] { run = [flags] { return RunChat(*flags); }; });
}

}  // namespace qwen25

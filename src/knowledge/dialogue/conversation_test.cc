#include "knowledge/dialogue/conversation.h"

#include <algorithm>
#include <fstream>

#include "base/file.h"
#include "base/test_util.h"
#include "infer/tiny_model_test_util.h"

namespace qwen25 {
namespace {

Tokenizer ByteTokenizer() {
  ByteLevelBpe parts;
  for (int byte = 0; byte < 256; ++byte) parts.tokens.emplace_back(1, static_cast<char>(byte));
  parts.special_tokens = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};
  parts.eos_token = "<|endoftext|>";
  return *Tokenizer::FromByteLevelBpe(parts);
}

// A model with random weights, which answers with random bytes: enough to see what it is asked.
LoadedModel TinyModel(size_t recall_window = 0) {
  ModelConfig config = TinyConfig(300);
  config.max_position_embeddings = 2048;
  Model model(config);
  model.Initialize(3);
  InferenceEngine::Options options = {.num_threads = 2, .recall_window = recall_window};
  if (recall_window > 0) {
    // Few blocks nearby are always read, so that something is left to be recalled.
    options.routing = RoutingPolicy::Parse("top_k:8,local=1,dense_below=0").value();
  }
  return {.engine = std::make_unique<InferenceEngine>(std::move(model), options),
          .tokenizer = ByteTokenizer(),
          .chat_template = ChatTemplate::OfFormat({.default_system = "S"})};
}

// One conversation and its events.
class Talk {
 public:
  explicit Talk(const std::filesystem::path& memory, size_t recall_window = 0)
      : model_(TinyModel(recall_window)) {
    options.memory.folder = memory.string();
    options.generate.max_new_tokens = 6;
    options.generate.sampling.temperature = 0;
  }

  Status Start(bool with_blocks = true) {
    if (with_blocks && !options.memory.off) {
      QWEN25_TRY(store_, OpenBlockStore(options.memory));
      model_.engine->SetStore(store_.get());
    }
    QWEN25_TRY(conversation_,
               Conversation::Start(model_, store_.get(), options,
                                   [this](const ConversationEvent& event) { events.push_back(event); }));
    return {};
  }
  Status Ask(const std::string& question) {
    events.clear();
    return conversation_->Ask(question, nullptr);
  }
  Conversation* operator->() { return conversation_.get(); }

  // How often this event occurred since the last question.
  template <typename Event>
  size_t Count() const {
    return static_cast<size_t>(std::ranges::count_if(
        events, [](const ConversationEvent& event) { return std::holds_alternative<Event>(event); }));
  }
  template <typename Event>
  const Event& The() const {
    for (const ConversationEvent& event : events) {
      if (const auto* found = std::get_if<Event>(&event)) return *found;
    }
    ADD_FAILURE() << "did not happen";
    std::abort();
  }

  Conversation::Options options;
  std::vector<ConversationEvent> events;

 private:
  std::unique_ptr<BlockStore> store_;  // outlives the engine
  LoadedModel model_;
  std::unique_ptr<Conversation> conversation_;
};

TEST(Conversation, GoesOnAfterARestart) {
  const TemporaryDirectory memory;
  std::vector<ChatMessage> said;
  {
    Talk talk(memory.path());
    ASSERT_OK(talk.Start());
    ASSERT_OK(talk.Ask("one"));
    EXPECT_EQ(talk.Count<Answered>(), 1u);
    ASSERT_OK(talk.Ask("two"));
    EXPECT_EQ(talk->number(), 1u);
    said = talk->messages();
    EXPECT_EQ(said.size(), 4u);
  }
  Talk talk(memory.path());
  ASSERT_OK(talk.Start());
  EXPECT_EQ(talk->messages(), said);
  EXPECT_EQ(talk.The<DialogueResumed>().num_messages, 4u);
  EXPECT_EQ(talk.The<DialogueResumed>().last_turn[0].content, "two");
  talk->StartNew();
  ASSERT_OK(talk.Ask("three"));
  EXPECT_EQ(talk->number(), 2u);
  ASSERT_OK_AND_ASSIGN(const auto dialogues, talk->Dialogues());
  EXPECT_EQ(dialogues.size(), 2u);
  ASSERT_OK(talk->Resume(1));
  EXPECT_EQ(talk->messages(), said);
}

TEST(Conversation, AQuestionThatCannotBeAnsweredLeavesItAsItWas) {
  const TemporaryDirectory memory;
  Talk talk(memory.path());
  ASSERT_OK(talk.Start());
  ASSERT_OK(talk.Ask("one"));
  const std::vector<ChatMessage> said = talk->messages();
  EXPECT_ERROR_CONTAINS(talk.Ask(std::string(5000, 'x')), "context");
  EXPECT_EQ(talk.Count<Answered>(), 0u);
  EXPECT_EQ(talk->messages(), said);
  ASSERT_OK(talk.Ask("two"));
}

TEST(Conversation, ARetryDrawsAnotherAnswerThatASeedRepeats) {
  const auto answers = [](Talk& talk) {
    std::vector<std::string> texts;
    for (int i = 0; i < 3; ++i) {
      EXPECT_OK(i == 0 ? talk.Ask("one") : talk->Retry(nullptr));
      texts.push_back(talk->messages().back().content);
    }
    EXPECT_OK(talk->Undo());
    EXPECT_OK(talk.Ask("one"));
    EXPECT_EQ(talk->messages().back().content, texts[0]);
    return texts;
  };
  std::vector<std::vector<std::string>> runs;
  for (int run = 0; run < 2; ++run) {
    const TemporaryDirectory memory;
    Talk talk(memory.path());
    talk.options.generate.max_new_tokens = 12;
    talk.options.generate.sampling.temperature = 1;
    ASSERT_OK(talk.Start());
    runs.push_back(answers(talk));
  }
  EXPECT_EQ(runs[0], runs[1]);
  EXPECT_NE(runs[0][0], runs[0][1]);
  EXPECT_NE(runs[0][1], runs[0][2]);
}

TEST(Conversation, AnAnswerGoesOnWhereItEnded) {
  std::vector<ChatMessage> whole;
  {
    const TemporaryDirectory memory;
    Talk talk(memory.path());
    talk.options.generate.max_new_tokens = 12;
    ASSERT_OK(talk.Start());
    ASSERT_OK(talk.Ask("one"));
    whole = talk->messages();
  }
  const TemporaryDirectory memory;
  {
    Talk talk(memory.path());
    ASSERT_OK(talk.Start());
    EXPECT_ERROR_CONTAINS(talk->Continue(nullptr), "no answer to go on with");
    EXPECT_ERROR_CONTAINS(talk->Retry(nullptr), "no question to answer");
    ASSERT_OK(talk.Ask("one"));
    ASSERT_OK(talk->Continue(nullptr));
    EXPECT_EQ(talk->messages(), whole);
    ASSERT_OK(talk->Retry(nullptr));
    ASSERT_EQ(talk->messages().size(), 2u);
    EXPECT_TRUE(whole[1].content.starts_with(talk->messages()[1].content));
    ASSERT_OK(talk->Continue(nullptr));
  }
  Talk talk(memory.path());
  ASSERT_OK(talk.Start());
  EXPECT_EQ(talk->messages(), whole);  // as it was kept
  // An answer that somebody else began.
  ASSERT_OK(talk->Use({.messages = {{.role = "user", .content = "one"},
                                    {.role = "assistant", .content = whole[1].content.substr(0, 3)}}}));
  ASSERT_OK(talk->Continue(nullptr));
  EXPECT_TRUE(talk->messages()[1].content.starts_with(whole[1].content.substr(0, 6)));
  // Nothing is lost if it does not fit.
  ASSERT_OK(talk->Use({.messages = {{.role = "user", .content = std::string(5000, 'x')},
                                    {.role = "assistant", .content = "kept"}}}));
  EXPECT_ERROR_CONTAINS(talk->Continue(nullptr), "context");
  EXPECT_ERROR_CONTAINS(talk->Retry(nullptr), "context");
  EXPECT_EQ(talk->messages().back().content, "kept");
}

TEST(Conversation, WhatTheTemplateRefusesLeavesItAsItWas) {
  LoadedModel model = TinyModel();
  ASSERT_OK_AND_ASSIGN(model.chat_template,
                       ChatTemplate::Compile({.origin = "t",
                                              .named = {{"default",
                                                         "{% for m in messages %}{% if m.content == 'bad' %}"
                                                         "{{ raise_exception('Never say that') }}{% endif %}"
                                                         "{{ m.content }}\n{% endfor %}"}}}));
  Conversation::Options options;
  options.memory.off = true;
  options.generate.max_new_tokens = 2;
  ASSERT_OK_AND_ASSIGN(const auto talk,
                       Conversation::Start(model, nullptr, options, [](const ConversationEvent&) {}));
  ASSERT_OK(talk->Ask("good", nullptr));
  const std::vector<ChatMessage> said = talk->messages();
  EXPECT_ERROR_CONTAINS(talk->Ask("bad", nullptr), "refuses this conversation: Never say that");
  EXPECT_EQ(talk->messages(), said);
  EXPECT_OK(talk->Ask("better", nullptr));
  EXPECT_EQ(talk->SystemText(), std::nullopt);
}

TEST(Conversation, WithoutAMemoryNothingIsKept) {
  const TemporaryDirectory memory;
  Talk talk(memory / "none");
  talk.options.memory.off = true;
  ASSERT_OK(talk.Start());
  ASSERT_OK(talk.Ask("remember that tea is green"));
  EXPECT_EQ(talk.events.size(), 1u) << "the answer";
  EXPECT_ERROR_CONTAINS(talk->Dialogues(), "--no-memory");
  EXPECT_FALSE(std::filesystem::exists(memory / "none"));
  Talk recalls(memory / "none", 256);
  recalls.options.memory.off = recalls.options.recall_dialogues = true;
  EXPECT_ERROR_CONTAINS(recalls.Start(), "which --no-memory turns off");
}

// Another process holds the blocks, or they are damaged: the dialogue is kept all the same.
// A template that leaves tools out would show the model another conversation.
TEST(Conversation, ToolsAreRefusedWhereTheTemplateKnowsNone) {
  LoadedModel model = TinyModel();
  Conversation::Options options;
  options.memory.off = true;
  const Dialogue plain{.messages = {{.role = "user", .content = "hi"}}};
  Dialogue call = plain, result = plain, tools = plain;
  call.messages.push_back({.role = "assistant", .tool_calls = {{.name = "f", .arguments = Json::object()}}});
  result.messages.push_back({.role = "tool", .content = "1"});
  tools.other["tools"] = Json::array({{{"type", "function"}, {"function", {{"name", "f"}}}}});
  for (const bool knows_tools : {true, false}) {
    model.chat_template = ChatTemplate::OfFormat({.default_system = "S", .knows_tools = knows_tools});
    ASSERT_OK_AND_ASSIGN(const auto talk,
                         Conversation::Start(model, nullptr, options, [](const ConversationEvent&) {}));
    EXPECT_OK(talk->Use(plain));
    for (const Dialogue& dialogue : {call, result, tools}) {
      const Status status = talk->Use(dialogue);
      if (knows_tools) {
        EXPECT_OK(status);
      } else {
        EXPECT_ERROR_CONTAINS(status, "this model's chat template knows none");
      }
    }
  }
}

TEST(Conversation, DialoguesAreKeptWithoutBlocks) {
  const TemporaryDirectory memory;
  Talk talk(memory.path());
  ASSERT_OK(talk.Start(/*with_blocks=*/false));
  ASSERT_OK(talk.Ask("one"));
  EXPECT_EQ(talk.Count<ConversationProblem>(), 0u);
  ASSERT_OK_AND_ASSIGN(const auto dialogues, talk->Dialogues());
  ASSERT_EQ(dialogues.size(), 1u);
  EXPECT_EQ(dialogues[0].first_question, "one");
}

TEST(Conversation, TwoOfOneNamespaceKeepTheirOwn) {
  const TemporaryDirectory memory;
  Talk a(memory.path()), b(memory.path());
  ASSERT_OK(a.Start());
  ASSERT_OK(a.Ask("one"));
  ASSERT_OK(b.Start(/*with_blocks=*/false));
  EXPECT_EQ(b->number(), 1u);
  ASSERT_OK(a.Ask("two"));
  ASSERT_OK(b.Ask("three"));
  EXPECT_EQ(b.The<DialogueMoved>().from, 1u);
  EXPECT_EQ(b.The<DialogueMoved>().to, 2u);
  ASSERT_OK(a.Ask("four"));
  EXPECT_EQ(a.Count<DialogueMoved>(), 0u);
  Talk after(memory.path());
  ASSERT_OK(after.Start(/*with_blocks=*/false));
  EXPECT_EQ(after->messages(), b->messages());
  ASSERT_OK(after->Resume(1));
  EXPECT_EQ(after->messages(), a->messages());
}

TEST(Conversation, ADamagedDialogueIsLeftAndToldOf) {
  const TemporaryDirectory memory;
  {
    Talk talk(memory.path());
    ASSERT_OK(talk.Start());
    ASSERT_OK(talk.Ask("one"));
  }
  const std::filesystem::path path = memory / "dialogues/default/000001.json";
  ASSERT_OK_AND_ASSIGN(std::string text, ReadFile(path));
  text[text.size() / 2] ^= 1;
  ASSERT_OK(WriteFileAtomically(path, text));
  Talk talk(memory.path());
  ASSERT_OK(talk.Start());
  EXPECT_EQ(talk.Count<DialogueUnreadable>(), 1u);
  ASSERT_OK(talk.Ask("two"));
  EXPECT_EQ(talk->number(), 2u);
  ASSERT_OK_AND_ASSIGN(const std::string left, ReadFile(path));
  EXPECT_EQ(left, text);
}

TEST(Conversation, UndoTakesAQuestionWithItsCalls) {
  const TemporaryDirectory memory;
  Talk talk(memory.path());
  ASSERT_OK(talk.Start());
  ASSERT_OK(talk->Use({.messages = {{.role = "system", .content = ""},
                                    {.role = "user", .content = "weather?"},
                                    {.role = "assistant", .tool_calls = {{"f", Json::object()}}},
                                    {.role = "tool", .content = "21"},
                                    {.role = "assistant", .content = "21 degrees"}}}));
  EXPECT_EQ(talk->SystemText(), "") << "an empty system text is one";
  ASSERT_OK(talk.Ask("and now?"));
  EXPECT_EQ(talk->ToDialogue().messages.size(), 7u);
  ASSERT_OK(talk->Undo());
  EXPECT_EQ(talk->messages().size(), 4u);
  ASSERT_OK(talk->Undo());
  EXPECT_TRUE(talk->messages().empty());
  EXPECT_ERROR_CONTAINS(talk->Undo(), "nothing to take back");
  Talk after(memory.path());
  ASSERT_OK(after.Start(/*with_blocks=*/false));
  EXPECT_TRUE(after->messages().empty()) << "all of it was taken back";
}

TEST(Conversation, NotesAreRememberedRecalledAndForgotten) {
  const TemporaryDirectory memory;
  Talk talk(memory.path());
  ASSERT_OK(talk.Start());
  ASSERT_OK(talk.Ask("remember that the garage code is 4711"));
  EXPECT_EQ(talk.The<NoteRemembered>().note, 1);
  ASSERT_OK(talk.Ask("What is the garage code?"));
  EXPECT_EQ(talk.The<NotesRecalled>().notes[0].note, 1);
  EXPECT_FALSE(talk.The<NotesRecalled>().notes[0].is_above);
  EXPECT_NE(talk->messages()[2].content.find("4711"), std::string::npos);
  ASSERT_OK(talk.Ask("Really, the garage code?"));
  EXPECT_TRUE(talk.The<NotesRecalled>().notes[0].is_above);
  ASSERT_OK(talk->SwitchMemory(false));
  ASSERT_OK(talk.Ask("What is the garage code?"));
  EXPECT_EQ(talk.Count<NotesRecalled>(), 0u);
  ASSERT_OK(talk->SwitchMemory(true));
  ASSERT_OK(talk.Ask("forget that the garage code is 4711"));
  EXPECT_EQ(talk.The<NoteForgotten>().note, 1);
  ASSERT_OK_AND_ASSIGN(const uint64_t count, talk->notes().Count());
  EXPECT_EQ(count, 0u);
}

TEST(Conversation, OnlyTheNewestOfACorrectedFactIsRead) {
  const TemporaryDirectory memory;
  Talk talk(memory.path());
  ASSERT_OK(talk.Start());
  for (const char* city : {"Athens", "Cardiff"}) {
    ASSERT_OK(talk->notes().Remember(fmt::format("My landlord Marta lives in {}.", city)).status());
  }
  ASSERT_OK(talk.Ask("Where does my landlord Marta live?"));
  const NotesRecalled recalled = talk.The<NotesRecalled>();
  ASSERT_EQ(recalled.notes.size(), 1u);
  EXPECT_EQ(recalled.notes[0].note, 2);
  EXPECT_EQ(recalled.notes[0].older, std::vector<int64_t>{1});
  const std::string read = talk->messages()[0].content;
  EXPECT_NE(read.find("Cardiff"), std::string::npos);
  EXPECT_EQ(read.find("Athens"), std::string::npos);
  ASSERT_OK_AND_ASSIGN(const auto found, talk->notes().Recall("landlord Marta"));
  EXPECT_EQ(found.size(), 2u);
}

// What attention recalls is turned off and on with the rest of the memory.
TEST(Conversation, MemoryOffEndsWhatAttentionRecalls) {
  const TemporaryDirectory memory;
  constexpr size_t kWindow = 256;
  {
    Talk talk(memory.path(), kWindow);
    ASSERT_OK(talk.Start());
    ASSERT_OK(talk.Ask(std::string(200, 'a') + " and what lies behind the hill"));
  }
  Talk talk(memory.path(), kWindow);
  talk.options.recall_dialogues = true;
  ASSERT_OK(talk.Start());
  EXPECT_GT(talk.The<AttentionReady>().num_blocks, 0u);
  ASSERT_OK(talk.Ask("What lies behind the hill?"));
  EXPECT_EQ(talk.Count<AttentionRead>(), 1u);
  ASSERT_OK(talk->SwitchMemory(false));
  ASSERT_OK(talk.Ask("And what lies before it?"));
  EXPECT_EQ(talk.Count<AttentionRead>(), 0u);
  ASSERT_OK(talk->SwitchMemory(true));
  ASSERT_OK(talk.Ask("And above it?"));
  EXPECT_EQ(talk.Count<AttentionRead>(), 1u);
}

}  // namespace
}  // namespace qwen25

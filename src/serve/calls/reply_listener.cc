#include "serve/calls/reply_listener.h"

#include <utility>

#include "base/check.h"
#include "serve/calls/generation.h"
#include "serve/calls/reply_usage.h"
#include "serve/calls/stream_settings.h"

namespace qwen25 {
namespace {

class ReplyListener : public GenerationListener {
 public:
  ReplyListener(std::shared_ptr<ServerCall> call, std::shared_ptr<ServedModel> model,
                std::unique_ptr<ReplyWriter> writer, ReplySettings settings)
      : call_(std::move(call)),
        model_(std::move(model)),
        writer_(std::move(writer)),
        settings_(std::move(settings)),
        choices_(settings_.num_prompts * settings_.num_choices),
        parsers_(settings_.calls ? choices_.size() : 0, ToolCallParser(ParserOptions(settings_))) {
    for (ToolCallParser& parser : parsers_) parser.Feed(settings_.calls->begun);
  }

  void OnPrompt(size_t index, std::span<const TokenScore> scores) override {
    if (settings_.stream) Send(writer_->Begin(index));
    if (settings_.echoes.empty()) return;
    const ReplySettings::Echo& echo = settings_.echoes[index / settings_.num_choices];
    std::vector<TokenLogprob> logprobs;
    if (settings_.logprobs) logprobs = Logprobs(scores, echo.first);
    Take(index, Plain(echo.text), std::move(logprobs));
  }

  void OnText(size_t index, std::string_view piece, std::span<const int32_t>,
              std::span<const TokenScore> scores) override {
    Take(index, parsers_.empty() ? Plain(piece) : parsers_[index].Feed(piece), Logprobs(scores));
  }

  void OnChoiceEnd(size_t index, const StreamResult& result) override {
    if (!parsers_.empty()) Take(index, parsers_[index].Finish(), {});
    usage_.Add(result, /*is_first_of_prompt=*/index % settings_.num_choices == 0);
    if (result.finish_reason == FinishReason::kError) {
      if (error_.ok()) error_ = result.error;
      return;
    }
    choices_[index].end = {.reason = result.finish_reason,
                           .has_calls = !parsers_.empty() && parsers_[index].num_calls() > 0,
                           .stop_text = result.stop_text};
    if (settings_.stream) Send(writer_->Finish(index, choices_[index].end));
  }

  void OnEnd() override {
    usage_.Tell(*call_);
    if (!error_.ok() && !has_begun_) return call_->Refuse(error_);
    if (!settings_.stream) return call_->Answer(WithMemory(writer_->Whole(choices_, usage_.usage())));
    if (error_.ok()) {
      Send(writer_->End(usage_.usage()));
      Write(std::string(writer_->Closing()));
    } else {
      Send(writer_->Fail(call_->ErrorOf(error_)));
    }
    call_->EndEvents();
  }

 private:
  static ToolCallParser::Options ParserOptions(const ReplySettings& settings) {
    return settings.calls ? settings.calls->parser : ToolCallParser::Options();
  }
  static std::vector<AnswerPiece> Plain(std::string_view text) {
    if (text.empty()) return {};
    return {{.content = std::string(text)}};
  }
  std::vector<TokenLogprob> Logprobs(std::span<const TokenScore> scores,
                                     std::optional<TokenLogprob> first = {}) const {
    std::vector<TokenLogprob> logprobs;
    if (first) logprobs.push_back(std::move(*first));
    for (const TokenScore& score : scores) logprobs.push_back(ToLogprob(model_->model().tokenizer, score));
    return logprobs;
  }

  void Take(size_t index, std::vector<AnswerPiece> pieces, std::vector<TokenLogprob> logprobs) {
    if (settings_.calls && settings_.calls->only_first) {
      std::erase_if(pieces, [](const AnswerPiece& piece) { return piece.call && piece.call->index > 0; });
    }
    if (settings_.stream) return Send(writer_->Next(index, pieces, logprobs));
    ReplyChoice& choice = choices_[index];
    AppendPieces(pieces, choice.message);
    if (!settings_.logprobs) return;
    if (!choice.logprobs) choice.logprobs.emplace();
    for (TokenLogprob& logprob : logprobs) choice.logprobs->push_back(std::move(logprob));
  }

  Json WithMemory(Json reply) const {
    if (!settings_.memory.empty()) reply["memory"] = settings_.memory;
    return reply;
  }

  void Send(const std::vector<Json>& events) {
    std::string text;
    for (const Json& event : events) {
      const bool is_first = !has_begun_ && text.empty();
      text += writer_->Frame(is_first ? WithMemory(event) : event);
    }
    Write(std::move(text));
  }
  // The stream begins with the first event, so that an error before it is a reply of its own.
  void Write(std::string text) {
    if (text.empty()) return;
    if (!std::exchange(has_begun_, true)) call_->BeginEvents();
    call_->WriteEvents(std::move(text));
  }

  const std::shared_ptr<ServerCall> call_;
  const std::shared_ptr<ServedModel> model_;
  const std::unique_ptr<ReplyWriter> writer_;
  const ReplySettings settings_;
  std::vector<ReplyChoice> choices_;
  std::vector<ToolCallParser> parsers_;  // of each choice; none without calls
  ReplyUsage usage_;
  Status error_;
  bool has_begun_ = false;
};

}  // namespace

void StartReply(const std::shared_ptr<ServerCall>& call, const std::shared_ptr<ServedModel>& model,
                std::vector<StreamRequest> streams, std::unique_ptr<ReplyWriter> writer,
                ReplySettings settings) {
  QWEN25_CHECK(streams.size() == settings.num_prompts * settings.num_choices);
  const auto listener = std::make_shared<ReplyListener>(call, model, std::move(writer), std::move(settings));
  const Status status = StartGeneration(model, std::move(streams), listener, call->exchange());
  if (!status.ok()) RefuseStream(*call, *model, status);
}

}  // namespace qwen25

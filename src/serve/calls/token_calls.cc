#include "serve/calls/token_calls.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "serve/api/chat_request.h"
#include "serve/api/small_replies.h"
#include "serve/api/text_requests.h"
#include "serve/calls/use_model.h"

namespace qwen25 {
namespace {

std::optional<std::string> TextOf(const Tokenizer& tokenizer, std::optional<int32_t> id) {
  if (!id) return std::nullopt;
  return std::string(tokenizer.TokenBytes(*id));
}

ListedModel Describe(const ModelRegistry::Listed& model) {
  return {.id = model.name,
          .created = model.created,
          .owned_by = "local",
          .max_model_len = model.max_context_tokens};
}

}  // namespace

void AnswerTokenize(std::shared_ptr<ServerCall> call, ModelRegistry& models) {
  AnswerWithModel(call, models, ReadTokenizeRequest,
                  [](const auto& own, const auto& model, const TokenizeRequest& request) {
                    const std::vector<int32_t> tokens = model->model().tokenizer.Encode(
                        request.text,
                        {.special = SpecialTokens::kParse, .add_bos = request.add_special_tokens});
                    own->Answer(TokenizeJson(tokens, model->max_context_tokens()));
                  });
}

void AnswerDetokenize(std::shared_ptr<ServerCall> call, ModelRegistry& models) {
  AnswerWithModel(call, models, ReadDetokenizeRequest,
                  [](const auto& own, const auto& model, const DetokenizeRequest& request) {
                    own->Answer(PromptJson(model->model().tokenizer.Decode(request.tokens)));
                  });
}

void AnswerTokenizerInfo(std::shared_ptr<ServerCall> call, ModelRegistry& models) {
  UseModel(call, models, "", [call](std::shared_ptr<ServedModel> model) {
    const Tokenizer& tokenizer = model->model().tokenizer;
    const std::string& source = tokenizer.spec().chat_template;
    call->Answer(TokenizerInfoJson({.bos_token = TextOf(tokenizer, tokenizer.bos_id()),
                                    .eos_token = TextOf(tokenizer, tokenizer.eos_id()),
                                    .pad_token = TextOf(tokenizer, tokenizer.pad_id()),
                                    .chat_template = source.empty() ? std::nullopt : std::optional(source),
                                    .max_model_len = model->max_context_tokens()}));
  });
}

void AnswerApplyTemplate(std::shared_ptr<ServerCall> call, ModelRegistry& models) {
  AnswerWithModel(call, models, ReadApplyTemplateRequest,
                  [](const auto& own, const auto& model, const ApplyTemplateRequest& request) {
                    if (!model->model().chat_template) {
                      return own->Refuse(InvalidRequest("model", "This model has no chat template."));
                    }
                    ChatPromptOptions options = {
                        .tools = request.prompt.tools,
                        .add_generation_prompt = request.prompt.add_generation_prompt,
                        .continue_final_message = request.prompt.continue_final_message,
                        .variables = request.prompt.template_variables};
                    const Result<std::string> text =
                        model->model().chat_template->Render(request.prompt.messages, options);
                    if (!text.ok()) return own->Refuse(text.status(), "messages");
                    own->Answer(PromptJson(*text));
                  });
}

void AnswerModels(std::shared_ptr<ServerCall> call, ModelRegistry& models) {
  std::vector<ListedModel> list;
  for (const ModelRegistry::Listed& model : models.List()) list.push_back(Describe(model));
  call->Answer(ModelListJson(list));
}

void AnswerModel(std::shared_ptr<ServerCall> call, ModelRegistry& models) {
  constexpr std::string_view kPrefix = "/v1/models/";
  const std::string name = call->request().path.substr(kPrefix.size());
  const std::vector<ModelRegistry::Listed> all = models.List();
  const auto found = std::ranges::find(all, name, &ModelRegistry::Listed::name);
  if (found == all.end()) return call->Refuse(UnknownModel(name));
  call->Answer(ModelJson(Describe(*found)));
}

}  // namespace qwen25

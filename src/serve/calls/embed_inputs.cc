#include "serve/calls/embed_inputs.h"

#include <utility>

#include "infer/embed_texts.h"
#include "serve/calls/stream_settings.h"

namespace qwen25 {
namespace {

// One request on its way.
class InputEmbedder : public std::enable_shared_from_this<InputEmbedder> {
 public:
  InputEmbedder(std::shared_ptr<ServerCall> call, std::shared_ptr<ServedModel> model,
                std::vector<std::vector<int32_t>> inputs, std::function<void(EmbeddedInputs)> done)
      : call_(std::move(call)),
        model_(std::move(model)),
        inputs_(std::move(inputs)),
        done_(std::move(done)) {}

  void Start() {
    for (size_t i = 0; i < inputs_.size(); ++i) {
      model_->scheduler().Do([self = shared_from_this(), i] { self->Embed(i); });
    }
  }

 private:
  void Embed(size_t index) {
    const size_t dimension = model_->model().engine->model().config().hidden_size;
    if (error_.ok() && !call_->exchange().IsOpen()) error_ = Cancelled("the client went away");
    if (error_.ok()) {
      std::vector<float> vector(dimension);
      error_ = EmbedTokens(*model_->model().engine, EmbedPooling::kCausalMean, model_->max_context_tokens(),
                           {&inputs_[index], 1}, vector);
      result_.num_tokens += inputs_[index].size();
      result_.vectors.push_back(std::move(vector));
    }
    if (index + 1 < inputs_.size()) return;
    call_->AddTokens(result_.num_tokens, 0, 0);
    if (!error_.ok()) return call_->Refuse(error_);
    done_(std::move(result_));
  }

  const std::shared_ptr<ServerCall> call_;
  const std::shared_ptr<ServedModel> model_;
  const std::vector<std::vector<int32_t>> inputs_;
  const std::function<void(EmbeddedInputs)> done_;
  EmbeddedInputs result_;
  Status error_;
};

}  // namespace

void EmbedInputs(const std::shared_ptr<ServerCall>& call, const std::shared_ptr<ServedModel>& model,
                 const std::vector<NamedInput>& inputs, std::function<void(EmbeddedInputs)> done) {
  std::vector<std::vector<int32_t>> prompts;
  for (const NamedInput& input : inputs) {
    ApiResult<std::vector<int32_t>> tokens = TokensOf(input.input, model->model(), input.param);
    if (!tokens.ok()) return call->Refuse(tokens.error());
    if (const auto error = CheckPromptFits(*tokens, *model, input.param)) return call->Refuse(*error);
    prompts.push_back(std::move(*tokens));
  }
  std::make_shared<InputEmbedder>(call, model, std::move(prompts), std::move(done))->Start();
}

}  // namespace qwen25

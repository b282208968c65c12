#include "serve/calls/embedding_call.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "infer/embed_texts.h"
#include "serve/api/small_replies.h"
#include "serve/api/text_requests.h"
#include "serve/calls/stream_settings.h"
#include "serve/calls/use_model.h"

namespace qwen25 {
namespace {

// One request on its way: its texts are embedded one after another.
class Embedding : public std::enable_shared_from_this<Embedding> {
 public:
  Embedding(std::shared_ptr<ServerCall> call, std::shared_ptr<ServedModel> model, EmbeddingRequest request,
            std::vector<std::vector<int32_t>> inputs)
      : call_(std::move(call)),
        model_(std::move(model)),
        request_(std::move(request)),
        inputs_(std::move(inputs)) {}

  void Start() {
    for (size_t i = 0; i < inputs_.size(); ++i) {
      model_->scheduler().Do([self = shared_from_this(), i] { self->Embed(i); });
    }
  }

 private:
  void Embed(size_t index) {
    const size_t dimension = model_->model().engine->model().config().hidden_size;
    if (error_.ok() && call_->exchange().IsOpen()) {
      std::vector<float> vector(dimension);
      error_ = EmbedTokens(*model_->model().engine, EmbedPooling::kCausalMean, model_->max_context_tokens(),
                           {&inputs_[index], 1}, vector);
      if (request_.dimensions) Shorten(vector, static_cast<size_t>(*request_.dimensions));
      num_tokens_ += inputs_[index].size();
      vectors_.push_back(std::move(vector));
    }
    if (index + 1 == inputs_.size()) Answer();
  }

  // The first dimensions, again of length one.
  static void Shorten(std::vector<float>& vector, size_t dimensions) {
    vector.resize(dimensions);
    double square = 0;
    for (const float value : vector) square += double{value} * double{value};
    if (square == 0) return;
    for (float& value : vector) value = static_cast<float>(value / std::sqrt(square));
  }

  void Answer() {
    call_->AddTokens(num_tokens_, 0, 0);
    if (!error_.ok()) return call_->Refuse(error_);
    const Result<Json> reply = EmbeddingsJson(model_->name(), vectors_, request_.as_base64, num_tokens_);
    if (!reply.ok()) return call_->Refuse(reply.status());
    call_->Answer(*reply);
  }

  const std::shared_ptr<ServerCall> call_;
  const std::shared_ptr<ServedModel> model_;
  const EmbeddingRequest request_;
  const std::vector<std::vector<int32_t>> inputs_;
  std::vector<std::vector<float>> vectors_;
  size_t num_tokens_ = 0;
  Status error_;
};

void EmbedWith(const std::shared_ptr<ServerCall>& call, const std::shared_ptr<ServedModel>& model,
               const EmbeddingRequest& request) {
  const auto dimension = static_cast<int64_t>(model->model().engine->model().config().hidden_size);
  if (request.dimensions && *request.dimensions > dimension) {
    return call->Refuse(InvalidRequest(
        "dimensions",
        fmt::format("dimensions is {}, and this model's vectors have {}.", *request.dimensions, dimension)));
  }
  std::vector<std::vector<int32_t>> inputs;
  for (size_t i = 0; i < request.inputs.size(); ++i) {
    const std::string param = request.inputs.size() == 1 ? "input" : fmt::format("input[{}]", i);
    ApiResult<std::vector<int32_t>> tokens = TokensOf(request.inputs[i], model->model(), param);
    if (!tokens.ok()) return call->Refuse(tokens.error());
    if (const auto error = CheckPromptFits(*tokens, *model, param)) return call->Refuse(*error);
    inputs.push_back(std::move(*tokens));
  }
  std::make_shared<Embedding>(call, model, request, std::move(inputs))->Start();
}

}  // namespace

void AnswerEmbedding(std::shared_ptr<ServerCall> call, ModelRegistry& models) {
  AnswerWithModel(call, models, ReadEmbeddingRequest, EmbedWith);
}

}  // namespace qwen25

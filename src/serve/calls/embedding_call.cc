#include "serve/calls/embedding_call.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>
#include <vector>

#include "serve/api/small_replies.h"
#include "serve/api/text_requests.h"
#include "serve/calls/embed_inputs.h"
#include "serve/calls/use_model.h"

namespace qwen25 {
namespace {

// The first dimensions, again of length one.
void Shorten(std::vector<float>& vector, size_t dimensions) {
  vector.resize(dimensions);
  double square = 0;
  for (const float value : vector) square += double{value} * double{value};
  if (square == 0) return;
  for (float& value : vector) value = static_cast<float>(value / std::sqrt(square));
}

void EmbedWith(const std::shared_ptr<ServerCall>& call, const std::shared_ptr<ServedModel>& model,
               const EmbeddingRequest& request) {
  const auto dimension = static_cast<int64_t>(model->model().engine->model().config().hidden_size);
  if (request.dimensions && *request.dimensions > dimension) {
    return call->Refuse(InvalidRequest(
        "dimensions",
        fmt::format("dimensions is {}, and this model's vectors have {}.", *request.dimensions, dimension)));
  }
  std::vector<NamedInput> inputs;
  for (size_t i = 0; i < request.inputs.size(); ++i) {
    inputs.push_back({request.inputs[i], request.inputs.size() == 1 ? "input" : fmt::format("input[{}]", i)});
  }
  EmbedInputs(call, model, inputs,
              [call, name = model->name(), as_base64 = request.as_base64,
               dimensions = request.dimensions](EmbeddedInputs embedded) {
                for (std::vector<float>& vector : embedded.vectors) {
                  if (dimensions) Shorten(vector, static_cast<size_t>(*dimensions));
                }
                const Result<Json> reply =
                    EmbeddingsJson(name, embedded.vectors, as_base64, embedded.num_tokens);
                if (!reply.ok()) return call->Refuse(reply.status());
                call->Answer(*reply);
              });
}

// How close the documents are to the query, best first: cosines, since all vectors have length one.
std::vector<RankedDocument> Rank(const std::vector<std::vector<float>>& vectors, size_t num_wanted) {
  std::vector<RankedDocument> ranked;
  for (size_t i = 1; i < vectors.size(); ++i) {
    const double cosine = std::inner_product(vectors[0].begin(), vectors[0].end(), vectors[i].begin(), 0.0);
    ranked.push_back({.index = i - 1, .score = cosine});
  }
  std::ranges::stable_sort(ranked, std::greater<>(), &RankedDocument::score);
  ranked.resize(std::min(num_wanted, ranked.size()));
  return ranked;
}

void RankWith(const std::shared_ptr<ServerCall>& call, const std::shared_ptr<ServedModel>& model,
              const RerankRequest& request) {
  std::vector<NamedInput> inputs = {{request.query, "query"}};
  for (size_t i = 0; i < request.documents.size(); ++i) {
    inputs.push_back({request.documents[i], fmt::format("documents[{}]", i)});
  }
  EmbedInputs(call, model, inputs, [call, name = model->name(), request](const EmbeddedInputs& embedded) {
    const size_t num_wanted = request.top_n ? static_cast<size_t>(*request.top_n) : request.documents.size();
    const std::vector<RankedDocument> ranked = Rank(embedded.vectors, num_wanted);
    const Result<Json> reply = RerankJson(
        name, ranked, request.return_documents ? &request.documents : nullptr, embedded.num_tokens);
    if (!reply.ok()) return call->Refuse(reply.status());
    call->Answer(*reply);
  });
}

}  // namespace

void AnswerEmbedding(std::shared_ptr<ServerCall> call, ModelRegistry& models) {
  AnswerWithModel(call, models, ReadEmbeddingRequest, EmbedWith);
}

void AnswerRerank(std::shared_ptr<ServerCall> call, ModelRegistry& models) {
  AnswerWithModel(call, models, ReadRerankRequest, RankWith);
}

}  // namespace qwen25

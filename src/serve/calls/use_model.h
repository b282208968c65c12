// The model that a request names.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "serve/api/request_json.h"
#include "serve/calls/server_call.h"
#include "serve/models/model_registry.h"

namespace qwen25 {

// Calls `use` with the model, once it is loaded; refuses the call if there is none of that name, or if it
// cannot be loaded. "" and "default" name the server's first model, unless one is called so.
void UseModel(const std::shared_ptr<ServerCall>& call, ModelRegistry& models, const std::string& name,
              std::function<void(std::shared_ptr<ServedModel>)> use);

// Reads the body of a request, and calls `answer` with the call, the model that the request names and the
// request itself; refuses the call if it cannot be read, or as UseModel does.
template <typename Request, typename Answer>
void AnswerWithModel(const std::shared_ptr<ServerCall>& call, ModelRegistry& models,
                     ApiResult<Request> (*read)(const Json&), Answer answer) {
  const ApiResult<Json> body = ParseRequestJson(call->request().body);
  if (!body.ok()) return call->Refuse(body.error());
  ApiResult<Request> request = read(*body);
  if (!request.ok()) return call->Refuse(request.error());
  const std::string model = request->model;
  UseModel(call, models, model,
           [call, answer, request = std::make_shared<Request>(std::move(*request))](
               const std::shared_ptr<ServedModel>& served) { answer(call, served, *request); });
}

}  // namespace qwen25

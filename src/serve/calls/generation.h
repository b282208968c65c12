// The answers of one API request while they are generated.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "serve/http/http_exchange.h"
#include "serve/models/served_model.h"

namespace qwen25 {

// Follows the choices of a request. Called on the thread of the model's scheduler; must return quickly.
class GenerationListener {
 public:
  virtual ~GenerationListener() = default;
  // As the calls of StreamObserver, for a choice from 0.
  virtual void OnPrompt(size_t choice, std::span<const TokenScore> scores) = 0;
  virtual void OnText(size_t choice, std::string_view piece, std::span<const int32_t> tokens,
                      std::span<const TokenScore> scores) = 0;
  virtual void OnChoiceEnd(size_t choice, const StreamResult& result) = 0;
  // The last call, after the last choice has ended.
  virtual void OnEnd() = 0;
};

// Submits all requests to the model's scheduler and has the listener told about them, until the client of
// `exchange` goes away, which cancels them. After an error nothing is submitted, and the listener is not
// called. Errors of Scheduler::Submit.
Status StartGeneration(std::shared_ptr<ServedModel> model, std::vector<StreamRequest> requests,
                       std::shared_ptr<GenerationListener> listener, HttpExchange& exchange);

}  // namespace qwen25

// The vectors of a request's texts.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "serve/api/prompt_input.h"
#include "serve/calls/server_call.h"
#include "serve/models/served_model.h"

namespace qwen25 {

struct EmbeddedInputs {
  std::vector<std::vector<float>> vectors;  // one for each input, of length one
  size_t num_tokens = 0;
};

// An input, and what errors call it: "input[3]".
struct NamedInput {
  PromptInput input;
  std::string param;
};

// Embeds the inputs one after another and calls `done` with all vectors, on the thread of the model's
// scheduler, which goes on with other answers between them. The vector of a text is the mean of the model's
// final hidden states, read as it was trained. Refuses the call instead if an input is not one for this model
// or a pass fails.
void EmbedInputs(const std::shared_ptr<ServerCall>& call, const std::shared_ptr<ServedModel>& model,
                 const std::vector<NamedInput>& inputs, std::function<void(EmbeddedInputs)> done);

}  // namespace qwen25

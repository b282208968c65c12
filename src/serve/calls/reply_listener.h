// Gives the answers of a request to its client while a model writes them.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "serve/api/reply_writer.h"
#include "serve/calls/server_call.h"
#include "serve/models/served_model.h"

namespace qwen25 {

struct ReplySettings {
  // The prompt as a part of its answers.
  struct Echo {
    std::string text;
    TokenLogprob first;  // the token that no score tells about
  };
  // How calls of functions are found in the answers.
  struct Calls {
    ToolCallParser::Options parser;
    std::string begun;        // what the prompt has of the call already
    bool only_first = false;  // further calls are dropped
  };

  bool stream = false;
  bool logprobs = false;            // whole replies have those of all tokens
  size_t num_prompts = 1;           // at least 1
  size_t num_choices = 1;           // of each prompt, at least 1
  std::optional<Calls> calls = {};  // none: answers are texts
  Json memory = Json::object();     // what the memory did, for the reply's member "memory"; {}: none
  std::vector<Echo> echoes = {};    // of each prompt; or empty
};

// Has the model answer, and gives the answers to the client as `writer` writes them. `streams`: the choices
// of the first prompt, then those of the others. Returns at once.
void StartReply(const std::shared_ptr<ServerCall>& call, const std::shared_ptr<ServedModel>& model,
                std::vector<StreamRequest> streams, std::unique_ptr<ReplyWriter> writer,
                ReplySettings settings);

}  // namespace qwen25

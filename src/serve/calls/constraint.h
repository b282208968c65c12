// What form the text of a request must have, as rules of decoding.
#pragma once

#include <memory>
#include <string>

#include "infer/logits_rule.h"
#include "serve/api/chat_request.h"
#include "serve/api/sampling_request.h"
#include "serve/models/served_model.h"

namespace qwen25 {

// The grammar of a constraint, or null for kNone. 400 with the field if it is malformed or not handled.
ApiResult<Grammar::Pointer> GrammarOf(const OutputConstraint& constraint, const ServedModel& model);

// The grammar of one call of one of the functions that `choice` (kRequired or kFunction) leaves: an object
// with the function's name and its arguments. 400 with the field of the function whose schema is not handled.
ApiResult<Grammar::Pointer> GrammarOfCall(const ChatPrompt& prompt, const ToolChoice& choice,
                                          const ServedModel& model);

// The rule of an answer in which functions may be called: calls are held to the functions' schemas. Null if
// the model has no token that begins a call. Errors as GrammarOfCall.
ApiResult<std::shared_ptr<LogitsRule>> RuleOfCalls(const ChatPrompt& prompt, const ServedModel& model);

// A rule for one answer, null without a grammar.
ApiResult<std::shared_ptr<LogitsRule>> RuleOf(const Grammar::Pointer& grammar, const ServedModel& model,
                                              const std::string& field);

}  // namespace qwen25

// What the scheduler is asked for, and what it answers.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "infer/answer.h"
#include "infer/logits_rule.h"
#include "infer/session.h"
#include "infer/token_scores.h"
#include "infer/token_stream.h"

namespace qwen25 {

enum class Speculation : uint8_t {
  kAuto,  // greedy answers while there is little else to do; the tokens do not depend on it
  kOn,    // lookup in the text so far. With a temperature above 0 the same seed then draws other tokens
  kOff,
};

struct StreamRequest {
  std::vector<int32_t> prompt;  // at least one token, and fewer than the context holds
  AnswerOptions answer;
  SamplingOptions sampling;
  Speculation speculation = Speculation::kAuto;
  std::optional<RoutingPolicy> routing = {};  // none: the engine's
  // Null: the engine's. Requests with the same object share products; an empty set: none.
  std::shared_ptr<const AdapterSet> adapters = {};
  // Keys and values are shared and stored within this namespace only.
  std::string name_space = "default";
  std::string client = {};              // who is to get a fair share (FairQueue)
  int priority = 0;                     // higher ones are served first, and in place of lower ones
  std::optional<double> deadline = {};  // on the clock of NowSeconds(); the answer ends there
  std::optional<uint32_t> num_top =
      {};                      // report the score of each token, with so many of the most likely ones
  bool scores_prompt = false;  // also those of the prompt's tokens; needs num_top
  std::shared_ptr<LogitsRule> rule = {};  // null: any token may follow
};

struct StreamResult {
  FinishReason finish_reason = FinishReason::kLength;
  Status error = {};             // why, if finish_reason is kError
  std::string stop_text = {};    // which of AnswerOptions::stop ended it, if finish_reason is kStopText
  bool passed_deadline = false;  // with kCancelled
  size_t num_prompt_tokens = 0;
  PrefixReuse reuse;             // tokens of the prompt that did not have to be computed
  size_t num_answer_tokens = 0;  // a final stop token included
  SpeculationStats speculation;
  double queue_seconds = 0;   // until it got a stream
  double prompt_seconds = 0;  // from there to the first token
  double decode_seconds = 0;  // from there to the end
};

// Follows one request. Called on the scheduler's thread, which waits meanwhile: must return quickly. Must not
// call the scheduler.
class StreamObserver {
 public:
  virtual ~StreamObserver() = default;

  // The prompt was read; called once, before the first text. `scores`: of its second and further tokens, if
  // the request asks for them.
  virtual void OnPrompt(std::span<const TokenScore> scores) = 0;
  // Text has become final; it may be empty. `scores` (if asked for) and `tokens`: of the tokens drawn since
  // the last call, whose text may still be held back.
  virtual void OnText(std::string_view piece, std::span<const int32_t> tokens,
                      std::span<const TokenScore> scores) = 0;
  // The last call.
  virtual void OnEnd(const StreamResult& result) = 0;
};

}  // namespace qwen25

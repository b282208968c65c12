// Loads the drafter for speculative decoding, with its draft model if it needs one.
#pragma once

#include <memory>
#include <string>

#include "infer/drafter.h"
#include "infer/load_model.h"

namespace qwen25 {

struct DraftChoice {
  std::string source;          // "lookup", or a draft model's folder or file; empty: no speculation
  uint32_t draft_tokens = 16;  // most tokens to verify in one pass
};

struct LoadedDrafter {
  std::unique_ptr<InferenceEngine> engine;  // of the draft model; null if there is none
  std::unique_ptr<Drafter> drafter;         // null without speculation
  std::vector<std::string> remarks;         // about the draft model, for the user
};

// Loads a draft model with the settings of `model`, from which `target` was loaded; it runs on the target's
// threads. kInvalidArgument if its tokens are not the target's; the message names the first that differs.
// Other errors as LoadModel.
Result<LoadedDrafter> LoadDrafter(const DraftChoice& choice, const ModelSource& model,
                                  const LoadedModel& target, const SamplingOptions& sampling);

}  // namespace qwen25

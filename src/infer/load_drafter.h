// What proposes tokens for speculative decoding, with the draft model that it may need.
#pragma once

#include <memory>
#include <string>

#include "infer/drafter.h"
#include "infer/load_model.h"

namespace qwen25 {

struct DraftChoice {
  std::string source;  // "lookup", or a draft model's folder or file; empty: no speculation
  uint32_t draft_tokens = 16;
};

// Empty: nothing proposes.
struct LoadedDrafter {
  std::unique_ptr<InferenceEngine> engine;
  std::unique_ptr<Drafter> drafter;
  std::vector<std::string> remarks;  // of the draft model
};

// A draft model is loaded as `target` was (from `model`) and runs on the same threads. Its tokens must be
// those of the target; the message names the first that is not.
Result<LoadedDrafter> LoadDrafter(const DraftChoice& choice, const ModelSource& model,
                                  const LoadedModel& target, const SamplingOptions& sampling);

}  // namespace qwen25

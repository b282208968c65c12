#include "infer/load_drafter.h"

#include "pretrained/tokenizer_fit.h"

namespace qwen25 {

Result<LoadedDrafter> LoadDrafter(const DraftChoice& choice, const ModelSource& model,
                                  const LoadedModel& target, const SamplingOptions& sampling) {
  LoadedDrafter loaded;
  if (choice.source.empty()) return loaded;
  if (choice.source == "lookup") {
    loaded.drafter = std::make_unique<LookupDrafter>(target.engine->max_context_tokens());
    return loaded;
  }
  ModelSource draft_source = model;
  draft_source.path = choice.source;
  draft_source.adapters.clear();  // they are the model's
  QWEN25_TRY(LoadedModel draft, LoadModel(draft_source, target.engine->shared_threads()));
  if (const auto id = FirstDifferentToken(target.tokenizer, draft.tokenizer)) {
    return InvalidArgument(
        "{}: a draft model must have the model's own tokens, and token {} is \"{}\" in the draft model but "
        "\"{}\" in the model; use a smaller model of the same family, or --speculate lookup",
        choice.source, *id, draft.tokenizer.TokenBytes(*id), target.tokenizer.TokenBytes(*id));
  }
  loaded.engine = std::move(draft.engine);
  loaded.remarks = std::move(draft.remarks);
  // A decode step is bound by reading every weight once.
  const double relative_cost = static_cast<double>(loaded.engine->model().packed_bytes()) /
                               static_cast<double>(target.engine->model().packed_bytes());
  loaded.drafter = std::make_unique<ModelDrafter>(*loaded.engine, sampling,
                                                  target.engine->model().config().vocab_size, relative_cost);
  return loaded;
}

}  // namespace qwen25

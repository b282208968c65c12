#include "infer/load_model.h"

#include <algorithm>

#include "base/available_memory.h"
#include "base/temporary_file.h"
#include "memory/spill_folder.h"
#include "model/encoder_config.h"
#include "model/weights_reader.h"
#include "pretrained/calibrated_routing.h"
#include "pretrained/hub/resolve_model.h"

namespace qwen25 {
namespace {

// The policy that was asked for, or else the calibrated one, or else none. Adds a remark about the second.
Result<std::optional<RoutingPolicy>> RoutingFor(const ModelSource& source, const std::filesystem::path& path,
                                                const ModelConfig& config,
                                                std::vector<std::string>& remarks) {
  if (source.routing) return source.routing;
  QWEN25_TRY(const std::optional<CalibratedRouting> calibrated, ReadCalibratedRouting(path, config));
  if (!calibrated) return std::optional<RoutingPolicy>();
  RoutingPolicy policy = calibrated->policy;
  if (source.recall_window > 0) policy.dense_below = std::min(policy.dense_below, source.recall_window);
  remarks.push_back(CalibrationRemark(path));
  return std::optional(policy);
}

// Of all sessions together; 0: as many as one may hold.
size_t TotalTokens(const ModelSource& source, const ModelConfig& config, KvFormat kv) {
  if (source.num_sessions <= 1) return 0;
  const uint64_t bytes = source.kv_bytes != 0 ? source.kv_bytes : AvailableMemoryBytes() / 2;
  size_t context = config.MaxContext();
  if (source.max_context_tokens != 0) context = std::min<size_t>(context, source.max_context_tokens);
  return std::min<size_t>(source.num_sessions * context, bytes / config.KvBytesPerToken(kv));
}

Result<Model> LoadWeights(const ModelSource& source, const std::filesystem::path& path, ThreadPool& threads) {
  if (!source.merge_adapters || source.adapters.empty()) {
    return Model::LoadPacked(path, source.format, threads, /*use_cache=*/source.cache_weights);
  }
  if (source.cache_weights) {
    return InvalidArgument(
        "{}: packed weights are not kept with merged adapters; leave out one of the two, or write a merged "
        "model with `qwen25 convert`",
        path.string());
  }
  QWEN25_TRY(const std::unique_ptr<WeightsReader> weights, OpenMergedWeights(path, source.adapters));
  return Model::LoadPacked(*weights, source.format, threads);
}

}  // namespace

Result<std::unique_ptr<InferenceEngine>> LoadEngine(const ModelSource& source,
                                                    std::vector<std::string>& remarks,
                                                    std::shared_ptr<ThreadPool> threads) {
  QWEN25_TRY(const std::filesystem::path path, ResolveModel(source.path.string()));
  if (!IsGgufPath(path) && !std::filesystem::is_directory(path)) {
    return NotFound(
        "{}: there is no such model folder; expected a folder with config.json, model.safetensors and "
        "tokenizer.json, or a .gguf file",
        path.string());
  }
  RemoveLeftovers(IsGgufPath(path) ? path.parent_path() : path);
  SpillFolder spill;  // used by a recall window only
  if (source.recall_window > 0) {
    QWEN25_TRY(spill, ChooseSpillFolder(source.spill_directory));
    if (!spill.remark.empty()) remarks.push_back(spill.remark);
  }
  if (!threads) {
    threads =
        std::make_shared<ThreadPool>(source.num_threads == 0 ? DefaultNumThreads() : source.num_threads);
  }
  Result<Model> loaded = LoadWeights(source, path, *threads);
  if (!loaded.ok() && IsEncoder(path)) {
    return Unsupported(
        "{}: holds a sentence encoder, which gives vectors of texts and writes none; use it with `qwen25 "
        "embed "
        "-m` or as --embedder model:{}",
        path.string(), path.string());
  }
  QWEN25_TRY(Model model, std::move(loaded));
  remarks.insert(remarks.end(), model.remarks().begin(), model.remarks().end());
  if (source.cache_weights) {
    const Status kept = model.WritePackedCache(path, *threads);
    if (!kept.ok()) remarks.push_back(fmt::format("the packed weights are not kept: {}", kept.message()));
  }
  QWEN25_TRY(const std::optional<RoutingPolicy> routing, RoutingFor(source, path, model.config(), remarks));
  std::shared_ptr<const AdapterSet> adapters;
  if (!source.merge_adapters) {
    QWEN25_TRY(adapters, LoadAdapterSet(source.adapters, model.config(), *threads));
  }
  const bool narrow = model.layers[0].down_proj.packed.format != WeightFormat::kFloat32;
  const KvFormat kv = source.kv.value_or(narrow ? KvFormat::kFloat16 : KvFormat::kFloat32);
  InferenceEngine::Options options = {.threads = std::move(threads),
                                      .max_context_tokens = source.max_context_tokens,
                                      .max_total_tokens = TotalTokens(source, model.config(), kv),
                                      .kv_format = kv,
                                      .routing = routing,
                                      .adapters = std::move(adapters),
                                      .keep_summaries = source.keep_summaries,
                                      .recall_window = source.recall_window,
                                      .spill_directory = spill.path,
                                      .history_bytes = source.history_bytes,
                                      .working_bytes = source.working_bytes};
  QWEN25_RETURN_IF_ERROR(InferenceEngine::Check(model.config(), options));
  return std::make_unique<InferenceEngine>(std::move(model), options);
}

Result<LoadedModel> LoadModel(const ModelSource& source, std::shared_ptr<ThreadPool> threads) {
  std::vector<std::string> remarks;
  QWEN25_TRY(std::unique_ptr<InferenceEngine> engine, LoadEngine(source, remarks, std::move(threads)));
  QWEN25_TRY(const std::filesystem::path path, ResolveModel(source.path.string()));
  QWEN25_TRY(Companions beside, LoadCompanions(path, engine->model().config(), source.chat_template));
  remarks.insert(remarks.end(), beside.remarks.begin(), beside.remarks.end());
  return LoadedModel{.engine = std::move(engine),
                     .tokenizer = std::move(beside.tokenizer),
                     .chat_template = std::move(beside.chat_template),
                     .sampling = beside.sampling,
                     .stop_tokens = std::move(beside.stop_tokens),
                     .remarks = std::move(remarks)};
}

}  // namespace qwen25

// qwen25 bench memory: the persistent store of KV blocks when it is full, and a dialogue that goes on beside
// one that is computed again.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <numeric>
#include <optional>

#include "base/clock.h"
#include "base/json.h"
#include "base/quantile.h"
#include "base/rng.h"
#include "cli/bench/bench_folder.h"
#include "cli/bench/bench_model.h"
#include "cli/bench/bench_verb.h"
#include "cli/flags/model_flags.h"
#include "cli/terminal/interrupt.h"
#include "cli/terminal/show_progress.h"
#include "memory/block_store.h"
#include "memory/block_summaries.h"
#include "memory/recalled_blocks.h"
#include "model/config.h"
#include "ops/attention/block_attention.h"

namespace qwen25 {
namespace {

struct MemoryBenchFlags {
  std::string preset = "0.5b";  // shape, with random weights
  std::string weights = "int8";
  KvFormat kv = KvFormat::kFloat16;
  std::string folder;                   // of the store; empty: one that goes away
  double store_gib = 16;                // 0: no store is filled
  std::vector<uint64_t> recall_blocks;  // how many of them a session sees; empty: all
  uint32_t queries = 1000, num_threads = 0;
  uint32_t history = 8192;  // tokens of the dialogue; 0: none
  bool json = false;
};

constexpr double kMiB = 1 << 20;
constexpr std::string_view kNamespace = "bench";
constexpr size_t kWindowBlocks = 64;  // of the session's own tokens

Result<BlockStore> OpenStore(const std::filesystem::path& folder, uint64_t max_bytes) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  return BlockStore::Open(folder, {.max_bytes = max_bytes});
}

// Blocks of random keys and values, put together of a few layers so that making them takes no time.
class RandomBlocks {
 public:
  RandomBlocks(const AttentionShape& shape, const BlockFormat& format, Execution& execution)
      : format_(format),
        memory_(kTemplates * format.layer_bytes),
        summaries_(kTemplates * format.summary_bytes),
        tokens_(kBlockTokens) {
    for (size_t i = 0; i < kTemplates; ++i) templates_.push_back(memory_.data() + i * format.layer_bytes);
    Fill(shape, execution);
    SummarizeLayers(execution.threads, shape, {templates_.begin(), templates_.end()}, summaries_);
  }

  // Adds block `number` of a long sequence to a batch.
  void Add(uint64_t number, std::vector<NewBlock>& batch) {
    Rng rng(2, number);
    auto& layers = layers_.emplace_back();
    auto& summaries = block_summaries_.emplace_back();
    for (uint32_t layer = 0; layer < format_.num_layers; ++layer) {
      const size_t chosen = rng.Below(kTemplates);
      layers.push_back(templates_[chosen]);
      const auto begin = summaries_.begin() + static_cast<ptrdiff_t>(chosen * format_.summary_bytes);
      summaries.insert(summaries.end(), begin, begin + format_.summary_bytes);
    }
    batch.push_back({.id = {number + 1, 7},
                     .parent = number == 0 ? Hash128() : Hash128{number, 7},
                     .position = static_cast<uint32_t>(number),
                     .tokens = tokens_,
                     .layers = layers,
                     .summaries = summaries});
  }
  void Clear() {
    layers_.clear();
    block_summaries_.clear();
  }

 private:
  // Each template becomes the block of a sequence of its own.
  void Fill(const AttentionShape& shape, Execution& execution) {
    const RotaryTable rotary(InverseFrequencies(shape.head_dim, 1e6), kBlockTokens);
    const Tensor qkv =
        execution.tensors.New(kBlockTokens, (shape.num_heads + 2 * shape.num_kv_heads) * shape.head_dim);
    std::vector<int32_t> positions(kBlockTokens);
    std::iota(positions.begin(), positions.end(), 0);
    const std::vector<int32_t> starts = {0, kBlockTokens};
    Rng rng(1);
    for (std::byte* block : templates_) {
      for (size_t i = 0; i < qkv.rows() * qkv.cols(); ++i) {
        qkv.data()[i] = static_cast<float>(2 * rng.Uniform() - 1);
      }
      const SequenceKv kv = {.blocks = {&block, 1}, .num_tokens = kBlockTokens};
      AppendKv(execution, {.shape = shape,
                           .rotary = rotary,
                           .qkv = qkv,
                           .batch = {tokens_, positions, starts},
                           .kv = {&kv, 1}});
    }
  }

  static constexpr size_t kTemplates = 256;
  const BlockFormat format_;
  AlignedBuffer<std::byte> memory_;
  std::vector<std::byte> summaries_;
  std::vector<int32_t> tokens_;
  std::vector<std::byte*> templates_;
  std::vector<std::vector<const std::byte*>> layers_;
  std::vector<std::vector<std::byte>> block_summaries_;
};

// Fills a store up to its budget; adds what that took to `results`.
Status FillStore(BlockStore& store, const AttentionShape& shape, const BlockFormat& format,
                 uint64_t max_bytes, Execution& execution, Json& results) {
  constexpr size_t kBatch = 64;
  RandomBlocks random(shape, format, execution);
  const uint64_t block_bytes =
      uint64_t{format.num_layers} * (format.layer_bytes + format.summary_bytes) + 8192;
  const uint64_t count = max_bytes * 98 / 100 / block_bytes / kBatch * kBatch;
  Progress progress("fill", "blocks", count);
  std::vector<double> seconds;
  const double start = NowSeconds();
  for (uint64_t first = 0; first < count; first += kBatch) {
    std::vector<NewBlock> batch;
    random.Clear();
    for (size_t i = 0; i < kBatch; ++i) random.Add(first + i, batch);
    const double begin = NowSeconds();
    QWEN25_RETURN_IF_ERROR(store.Put(kNamespace, format, batch));
    seconds.push_back(NowSeconds() - begin);
    progress.Update(first + kBatch);
    if (InterruptGuard::requested()) return Cancelled("stopped by Ctrl-C");
  }
  const double total = NowSeconds() - start;
  const BlockStoreStats stats = store.Stats();
  results["blocks"] = stats.num_blocks;
  results["store_mib"] = static_cast<double>(stats.used_bytes) / kMiB;
  results["index_mib"] = static_cast<double>(stats.index_bytes) / kMiB;
  results["write_mib_per_second"] = static_cast<double>(stats.used_bytes) / kMiB / total;
  results["write_64_blocks_ms_p50"] = 1e3 * Quantile(seconds, 0.5);
  results["write_64_blocks_ms_p99"] = 1e3 * Quantile(seconds, 0.99);
  return {};
}

size_t NumSupers(const RecalledBlocks& recalled) {
  return recalled.num_panels() * kPanelParts / kPanelBlocks + 2;
}

// One layer of attention over recalled blocks and a window of its own, one token at a time.
class RecallQueries {
 public:
  RecallQueries(const AttentionShape& shape, const RecalledBlocks& recalled, size_t num_layers,
                Execution& execution)
      : shape_(shape),
        recalled_(recalled),
        num_layers_(num_layers),
        execution_(execution),
        rotary_(InverseFrequencies(shape.head_dim, 1e6), kWindowBlocks * kBlockTokens, /*clamps=*/true),
        own_(shape.BytesPerBlock(), 1, kWindowBlocks + 1),
        own_panels_(shape.BytesPerPanel(), 1, 2),
        super_panels_(shape.BytesPerPanel(), num_layers, NumSupers(recalled)) {}

  Status Prepare() {
    std::vector<std::byte*> front(recalled_.size());
    for (size_t i = 0; i <= kWindowBlocks; ++i) {
      QWEN25_TRY(const BlockPool::BlockId id, own_.Take());
      front.push_back(own_.Data(id, 0));
    }
    blocks_ = std::move(front);
    std::vector<BlockPool::BlockId> supers, panels;
    for (size_t i = 0; i < NumSupers(recalled_); ++i) {
      QWEN25_TRY(const BlockPool::BlockId id, super_panels_.Take());
      supers.push_back(id);
    }
    for (size_t i = 0; i < 2; ++i) {
      QWEN25_TRY(const BlockPool::BlockId id, own_panels_.Take());
      panels.push_back(id);
    }
    panels_.resize(num_layers_);
    supers_.resize(num_layers_);
    for (size_t layer = 0; layer < num_layers_; ++layer) {
      const auto of_recalled = recalled_.Panels(layer);
      panels_[layer].assign(of_recalled.begin(), of_recalled.end());
      for (const auto id : panels) panels_[layer].push_back(own_panels_.Data(id, 0));
      for (const auto id : supers) supers_[layer].push_back(super_panels_.Data(id, layer));
      recalled_.SummarizePanels(layer, supers_[layer]);
    }
    return {};
  }

  // Seconds of query `number` in a layer: choosing among all blocks, reading the chosen ones, attention.
  double Run(uint64_t number, size_t layer, const RoutingPolicy& policy, bool two_levels) {
    const size_t columns = (shape_.num_heads + 2 * shape_.num_kv_heads) * shape_.head_dim;
    Tensor qkv = execution_.tensors.New(1, columns);
    Rng rng(3, number);
    for (size_t i = 0; i < columns; ++i) qkv.data()[i] = static_cast<float>(4 * rng.Normal());
    const int32_t token = 0, starts[] = {0, 1};
    const auto position =
        static_cast<int32_t>((recalled_.size() + kWindowBlocks) * kBlockTokens + kBlockTokens / 2);
    const TokenBatch batch = {.tokens = {&token, 1}, .positions = {&position, 1}, .sequence_starts = starts};
    const SequenceKv kv = {.blocks = blocks_,
                           .num_tokens = static_cast<size_t>(position) + 1,
                           .summaries = panels_[layer],
                           .super_summaries = two_levels ? std::span<std::byte* const>(supers_[layer])
                                                         : std::span<std::byte* const>(),
                           .num_recalled = recalled_.size(),
                           .source = &recalled_,
                           .layer = layer};
    const LayerRouting routing = {.policy = policy, .layer = layer, .counts = &counts_};
    const double start = NowSeconds();
    AttendBlocks(execution_, {.shape = shape_,
                              .rotary = rotary_,
                              .qkv = qkv,
                              .batch = batch,
                              .kv = {&kv, 1},
                              .routing = {&routing, 1}});
    return NowSeconds() - start;
  }

  double BlocksReadPerQuery() const {
    return static_cast<double>(counts_.blocks_read) /
           static_cast<double>(std::max<uint64_t>(1, counts_.rows));
  }

 private:
  AttentionShape shape_;
  const RecalledBlocks& recalled_;
  size_t num_layers_;
  Execution& execution_;
  RotaryTable rotary_;
  BlockPool own_, own_panels_, super_panels_;
  std::vector<std::byte*> blocks_;
  std::vector<std::vector<std::byte*>> panels_, supers_;  // [layers]
  RoutingCounts counts_;
};

Status MeasureRecall(const MemoryBenchFlags& flags, const BlockStore& store, const AttentionShape& shape,
                     const BlockFormat& format, uint64_t max_blocks, Execution& execution, Json& results) {
  double start = NowSeconds();
  QWEN25_TRY(const auto recalled, RecalledBlocks::Load(store, kNamespace, format, shape, execution.threads,
                                                       {.max_blocks = static_cast<size_t>(max_blocks)}));
  if (!recalled) return NotFound("the store in the folder holds no blocks of this shape");
  const double load_seconds = NowSeconds() - start;
  RecallQueries queries(shape, *recalled, format.num_layers, execution);
  QWEN25_RETURN_IF_ERROR(queries.Prepare());
  const RoutingPolicy policy = {.kind = RoutingPolicy::Kind::kTopK, .dense_below = 0};
  for (const bool two_levels : {true, false}) {
    std::vector<double> seconds;
    double first_seconds = 0;
    // The same queries twice: the first time blocks may come from the disk, and are checked.
    for (const bool warm : {false, true}) {
      seconds.clear();
      for (uint64_t query = 0; query < flags.queries; ++query) {
        seconds.push_back(queries.Run(query, query % format.num_layers, policy, two_levels));
        if (InterruptGuard::requested()) return Cancelled("stopped by Ctrl-C");
      }
      if (!warm) first_seconds = Quantile(seconds, 0.99);
    }
    results.push_back({{"blocks", recalled->num_blocks()},
                       {"levels", two_levels ? 2 : 1},
                       {"load_seconds", load_seconds},
                       {"summaries_mib", static_cast<double>(recalled->num_bytes()) / kMiB},
                       {"layer_ms_p50", 1e3 * Quantile(seconds, 0.5)},
                       {"layer_ms_p99", 1e3 * Quantile(seconds, 0.99)},
                       {"first_layer_ms_p99", 1e3 * first_seconds},
                       {"blocks_read", queries.BlocksReadPerQuery()}});
  }
  return {};
}

Status RunStore(const MemoryBenchFlags& flags, const std::filesystem::path& folder, Json& results) {
  QWEN25_TRY(const ModelConfig config, FindPreset(flags.preset));
  ThreadPool threads(flags.num_threads == 0 ? DefaultNumThreads() : flags.num_threads);
  TensorPool tensors;
  Scratch scratch(threads.num_threads());
  Execution execution{threads, tensors, scratch, nullptr};
  const AttentionShape shape = {
      .num_heads = config.num_attention_heads,
      .num_kv_heads = config.num_key_value_heads,
      .head_dim = config.head_dim,
      .scale = static_cast<float>(1 / std::sqrt(static_cast<double>(config.head_dim))),
      .kv_format = flags.kv};
  const BlockFormat format = StoredBlockFormat({1, 2}, shape, config.num_hidden_layers);
  const auto max_bytes = static_cast<uint64_t>(flags.store_gib * 1024 * kMiB);
  {
    QWEN25_TRY(BlockStore store, OpenStore(folder, max_bytes));
    // A folder that is given may hold the store of an earlier run.
    if (store.Stats().num_blocks == 0) {
      QWEN25_RETURN_IF_ERROR(FillStore(store, shape, format, max_bytes, execution, results["fill"]));
    }
  }
  const double start = NowSeconds();
  QWEN25_TRY(const BlockStore store, OpenStore(folder, max_bytes));
  results["open_seconds"] = NowSeconds() - start;
  results["recall"] = Json::array();
  std::vector<uint64_t> sizes = flags.recall_blocks;
  if (sizes.empty()) sizes.push_back(store.Stats().num_blocks);
  for (const uint64_t size : sizes) {
    QWEN25_RETURN_IF_ERROR(MeasureRecall(flags, store, shape, format, size, execution, results["recall"]));
  }
  return {};
}

// A dialogue of `history` tokens that is asked something new: computed, and found in the store by a process
// that has just started.
Status RunContinuation(const MemoryBenchFlags& flags, const std::filesystem::path& folder, Json& results) {
  constexpr size_t kQuestion = 16;
  QWEN25_TRY(const WeightFormat weights, ParseWeightFormat(flags.weights));
  const InferenceEngine::Options options = {.num_threads = flags.num_threads,
                                            .max_context_tokens = flags.history + 2 * kBlockTokens,
                                            .max_total_tokens = 2 * (flags.history + 2 * kBlockTokens),
                                            .kv_format = flags.kv};
  std::vector<float> logits;
  for (const bool restarted : {false, true}) {
    QWEN25_TRY(Model model,
               BenchModel(flags.preset, "", weights, flags.num_threads, options.max_context_tokens));
    std::optional<BlockStore> store;  // outlives the engine, whose writer uses it
    InferenceEngine engine(std::move(model), options);
    const std::vector<int32_t> tokens = RandomTokens(engine.model().config(), flags.history + kQuestion, 1);
    const double open = NowSeconds();
    QWEN25_TRY(store, OpenStore(folder, uint64_t{64} << 30));
    const double begin = NowSeconds();
    if (restarted) engine.SetStore(&*store);
    const double attached = NowSeconds();
    Session session(engine);
    {
      Progress progress(restarted ? "continued" : "computed", "tokens", tokens.size());
      QWEN25_TRY(const PrefixReuse reuse, session.HoldExactly(tokens, ShowUntilInterrupt(progress)));
      progress.Update(tokens.size());
      if (restarted) results["tokens_from_store"] = reuse.stored;
    }
    const double done = NowSeconds();
    if (!restarted) {
      results["history_tokens"] = flags.history;
      results["first_token_computed_seconds"] = done - attached;
      logits.assign(session.logits().begin(), session.logits().end());
      engine.SetStore(&*store);
      Session writer(engine);
      const double start = NowSeconds();
      QWEN25_RETURN_IF_ERROR(writer.HoldExactly(tokens).status());
      QWEN25_RETURN_IF_ERROR(writer.Remember().status());
      results["computed_and_stored_seconds"] = NowSeconds() - start;
    } else {
      results["open_seconds"] = begin - open;
      results["fingerprint_seconds"] = attached - begin;
      results["first_token_continued_seconds"] = done - open;
      results["same_logits"] = std::ranges::equal(logits, session.logits());
      results["times_shorter"] = results["first_token_computed_seconds"].get<double>() / (done - open);
    }
    engine.SetStore(nullptr);
  }
  return {};
}

void PrintTable(const Json& results) {
  for (const auto& [key, value] : results.items()) {
    if (value.is_object()) {
      fmt::print("{}\n", key);
      PrintFigures(value, 32);
    } else if (value.is_number_float()) {
      fmt::print("{:<34}{:.4g}\n", key, value.get<double>());
    }
  }
  if (!results.contains("recall")) return;
  fmt::print("{:>10}{:>8}{:>10}{:>15}{:>14}{:>14}{:>14}{:>8}\n", "blocks", "levels", "load s",
             "summaries MiB", "layer ms p50", "p99", "first p99", "read");
  for (const Json& row : results["recall"]) {
    fmt::print("{:>10}{:>8}{:>10.2f}{:>15.1f}{:>14.3f}{:>14.3f}{:>14.3f}{:>8.1f}\n",
               row["blocks"].get<uint64_t>(), row["levels"].get<int>(), row["load_seconds"].get<double>(),
               row["summaries_mib"].get<double>(), row["layer_ms_p50"].get<double>(),
               row["layer_ms_p99"].get<double>(), row["first_layer_ms_p99"].get<double>(),
               row["blocks_read"].get<double>());
  }
}

Status RunMemoryBench(const MemoryBenchFlags& flags) {
  if (flags.queries < 1 || flags.store_gib < 0) {
    return InvalidArgument("--queries must be at least 1, --gib at least 0");
  }
  const InterruptGuard guard;
  QWEN25_TRY(const BenchFolder folder, BenchFolder::Make(flags.folder));
  Json results = Json::object();
  if (flags.history > 0) {
    QWEN25_RETURN_IF_ERROR(RunContinuation(flags, folder.path() / "dialogue", results["continuation"]));
  }
  if (flags.store_gib > 0) QWEN25_RETURN_IF_ERROR(RunStore(flags, folder.path() / "full", results));
  if (flags.json) {
    fmt::print("{}\n", results.dump());
  } else {
    PrintTable(results);
  }
  return {};
}

}  // namespace

void AddMemoryBench(CLI::App& verb, RunVerb& run) {
  const auto [what, flags] =
      AddVerb(verb, run, "memory",
              "A full store of keys and values, and a dialogue that goes on beside one computed again",
              RunMemoryBench);
  what->add_option("--preset", flags->preset, "Shape; weights, keys and values are random")
      ->capture_default_str();
  AddWeightsFlag(*what, flags->weights);
  AddKvFlag(*what, flags->kv);
  what->add_option("--folder", flags->folder,
                   "Folder of the store, which stays and is used again; default: a temporary one");
  what->add_option("--gib", flags->store_gib, "Size of the store; 0: none")->capture_default_str();
  what->add_option("--recall", flags->recall_blocks, "Stored blocks that a session sees; default: all")
      ->delimiter(',');
  what->add_option("--queries", flags->queries, "Choices that are timed")->capture_default_str();
  what->add_option("--history", flags->history, "Tokens of the dialogue that goes on; 0: none")
      ->capture_default_str();
  AddThreadsFlag(*what, flags->num_threads);
  what->add_flag("--json", flags->json, "Print a JSON object");
  what->footer(
      "Examples:\n  qwen25 bench memory --gib 0                      # the dialogue alone\n"
      "  qwen25 bench memory --history 0 --folder /data/bench\n"
      "  qwen25 bench memory --history 0 --preset nano --recall 1000,10000,100000");
}

}  // namespace qwen25

// qwen25 bench inference: prompt and generation speed by weight format, depth and batch, beside the floors.
#include <algorithm>
#include <memory>
#include <optional>

#include "base/clock.h"
#include "base/json.h"
#include "base/progress.h"
#include "base/rng.h"
#include "cli/bench/bench_model.h"
#include "cli/bench/bench_verb.h"
#include "cli/bench/machine_probe.h"
#include "cli/flags/model_flags.h"
#include "infer/session.h"
#include "kernels/isa.h"
#include "memory/spill_file.h"
#include "model/adapter/adapter_set.h"
#include "train/gemm_probe.h"

namespace qwen25 {
namespace {

// Tokens whose keys and values a token reads after `context` others, on average over the layers.
double TokensRead(const ModelConfig& config, double context) {
  double sum = 0;
  for (size_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    const auto window = static_cast<double>(config.WindowOf(layer));
    sum += window == 0 ? context : std::min(context, window);
  }
  return sum / config.num_hidden_layers;
}

struct InferenceBenchFlags {
  std::string preset = "0.5b";  // shape, with random weights; or
  std::string model;            // a model folder
  std::vector<std::string> weights = {"int8", "int4"};
  std::vector<uint32_t> depths = {0}, batches = {1};
  std::vector<uint32_t> adapted = {0};  // sequences of a batch that use an adapter
  uint32_t adapter_rank = 16;
  KvFormat kv = KvFormat::kFloat16;
  uint32_t prompt_tokens = 512, new_tokens = 64, rounds = 3, num_threads = 0;
  bool json = false, markdown = false;
};

// One line of the table.
struct Measurement {
  std::string weights, test;
  double tokens_per_second = 0, best_tokens_per_second = 0;
  double floor_tokens_per_second = 0;  // what the machine's limits allowed in the median round
  double share_of_floor = 0;           // median of the rounds' shares
  double gigabytes_per_second = 0;     // of weights, keys and values that were read
};

struct MachineLimits {
  double bandwidth, int8_rate, float_rate;
};

// Measured again before every round: a shared machine is not the same from one second to the next.
class MachineProbe {
 public:
  MachineLimits Measure(ThreadPool& threads) const {
    return {bandwidth_.Measure(threads), MeasureInt8Rate(threads), MeasureGemmFlops(threads)};
  }

 private:
  ReadBandwidth bandwidth_;
};

// One measured round and the least time that the machine, as it was then, could have taken.
struct Round {
  double seconds, floor_seconds;
};

// What a pass has to do at least.
struct Work {
  double rows = 0, logit_rows = 0;  // through the layers, through the output projection
  double attention_flops = 0;
  double kv_bytes = 0;  // read
};

// An adapter of all matrices of the layers, as large as a trained one.
Result<std::shared_ptr<const AdapterSet>> MakeAdapter(const ModelConfig& config, size_t rank,
                                                      ThreadPool& threads) {
  Adapter adapter = {.origin = "random adapter", .matrices = {}};
  Rng rng(1);
  const auto fill = [&](std::vector<float>& numbers, size_t count) {
    numbers.resize(count);
    for (float& number : numbers) number = static_cast<float>(0.01 * rng.Normal());
  };
  for (const NamedParameter& named : AdaptableParameters(config)) {
    if (!named.name.starts_with("model.layers.")) continue;
    AdapterMatrix matrix = {.parameter = named.name, .rank = rank, .up = {}, .down = {}};
    fill(matrix.up, named.parameter.rows * rank);
    fill(matrix.down, rank * named.parameter.cols);
    adapter.matrices.push_back(std::move(matrix));
  }
  return AdapterSet::Make(config, {&adapter, 1}, threads);
}

class InferenceBench {
 public:
  InferenceBench(const InferenceBenchFlags& flags, WeightFormat format, Model model,
                 const MachineProbe& probe)
      : flags_(flags),
        format_(format),
        probe_(probe),
        engine_(
            std::move(model),
            {.num_threads = flags.num_threads, .max_total_tokens = MaxTokens(flags), .kv_format = flags.kv}) {
  }

  Status Run(std::vector<Measurement>& results) {
    if (flags_.prompt_tokens > 0) QWEN25_RETURN_IF_ERROR(RunPrompt(results));
    if (flags_.new_tokens == 0) return {};
    if (std::ranges::max(flags_.adapted) > 0) {
      QWEN25_TRY(adapter_,
                 MakeAdapter(engine_.model().config(), flags_.adapter_rank, engine_.execution().threads));
    }
    for (const uint32_t batch : flags_.batches) {
      for (const uint32_t depth : flags_.depths) {
        for (const uint32_t adapted : flags_.adapted) {
          if (adapted <= batch) QWEN25_RETURN_IF_ERROR(RunDecode(batch, depth, adapted, results));
        }
      }
    }
    return {};
  }

 private:
  static size_t MaxTokens(const InferenceBenchFlags& flags) {
    const size_t decode = *std::ranges::max_element(flags.depths) + flags.new_tokens + 1;
    return *std::ranges::max_element(flags.batches) *
           std::max<size_t>((decode + kBlockTokens) / kBlockTokens * kBlockTokens,
                            flags.prompt_tokens + kBlockTokens);
  }

  // Seconds that the machine needs at least, as it is now.
  double Floor(const Work& work) {
    const MachineLimits limits = probe_.Measure(engine_.execution().threads);
    const ModelConfig& config = engine_.model().config();
    const double projection = 2.0 * static_cast<double>(config.vocab_size) * config.hidden_size;
    const double weights = config.ForwardFlopsPerToken(0) - projection;
    const double rate = IsQuantized(format_) ? limits.int8_rate : limits.float_rate;
    const double compute = (work.rows * weights + work.logit_rows * projection) / rate +
                           work.attention_flops / limits.float_rate;
    return std::max(compute, (WeightBytes() + work.kv_bytes) / limits.bandwidth);
  }

  double WeightBytes() const {
    const ModelConfig& config = engine_.model().config();
    const size_t unread =
        config.tie_word_embeddings ? 0 : PackedWeightBytes(format_, config.vocab_size, config.hidden_size);
    return static_cast<double>(engine_.model().packed_bytes() - unread);
  }

  Status RunPrompt(std::vector<Measurement>& results) {
    const std::vector<int32_t> prompt = RandomTokens(engine_.model().config(), flags_.prompt_tokens, 1);
    const ModelConfig& config = engine_.model().config();
    const double tokens = flags_.prompt_tokens;
    const Work work = {.rows = tokens,
                       .logit_rows = 1,
                       .attention_flops = tokens * (config.ForwardFlopsPerToken((tokens + 1) / 2) -
                                                    config.ForwardFlopsPerToken(0))};
    Session session(engine_);
    std::vector<Round> rounds;
    for (uint32_t round = 0; round <= flags_.rounds; ++round) {
      session.Truncate(0);
      const double floor = Floor(work), start = NowSeconds();
      QWEN25_RETURN_IF_ERROR(session.Append(prompt));
      if (round > 0) rounds.push_back({NowSeconds() - start, floor});  // the first one warms up
    }
    Add(fmt::format("prompt {}", flags_.prompt_tokens), rounds, tokens, 0, results);
    return {};
  }

  // The first `adapted` of `batch` sequences use the adapter.
  Status RunDecode(uint32_t batch, uint32_t depth, uint32_t adapted, std::vector<Measurement>& results) {
    std::vector<std::unique_ptr<Session>> sessions;
    std::optional<Progress> progress;
    constexpr uint64_t kQuick = 2048;  // tokens that are there before anybody would look
    if (uint64_t{batch} * depth > kQuick) {
      progress.emplace(fmt::format("filling {} x {} tokens", batch, depth), "tokens",
                       uint64_t{batch} * depth);
    }
    for (uint32_t i = 0; i < batch; ++i) {
      sessions.push_back(std::make_unique<Session>(engine_));
      if (i < adapted) QWEN25_RETURN_IF_ERROR(sessions.back()->SetAdapters(adapter_));
      const std::vector<int32_t> prompt = RandomTokens(engine_.model().config(), std::max(depth, 1u), i);
      QWEN25_RETURN_IF_ERROR(sessions.back()->Append(prompt, [&](size_t done) {
        if (progress) progress->Update(uint64_t{i} * depth + done);
        return true;
      }));
    }
    progress.reset();
    const ModelConfig& config = engine_.model().config();
    const double context = depth + flags_.new_tokens / 2.0;
    const Work work = {
        .rows = static_cast<double>(batch),
        .logit_rows = static_cast<double>(batch),
        .attention_flops = batch * (config.ForwardFlopsPerToken(context) - config.ForwardFlopsPerToken(0)),
        .kv_bytes =
            batch * TokensRead(config, context) * static_cast<double>(config.KvBytesPerToken(flags_.kv))};
    std::vector<Round> rounds;
    for (uint32_t round = 0; round <= flags_.rounds; ++round) {
      QWEN25_RETURN_IF_ERROR(ReturnTo(sessions, std::max(depth, 1u)));
      const double floor = Floor(work);
      QWEN25_TRY(const double seconds, DecodeSeconds(engine_, sessions, flags_.new_tokens));
      if (round > 0) rounds.push_back({seconds, floor});
    }
    std::string test = fmt::format("generate {}", flags_.new_tokens);
    if (depth > 0) test += fmt::format(" after {}", depth);
    if (batch > 1) test += fmt::format(", {} together", batch);
    if (adapted > 0) test += fmt::format(", {} adapted", adapted);
    Add(test, rounds, batch, WeightBytes() + work.kv_bytes, results);
    return {};
  }

  // `tokens` and `bytes` (read; 0: not of interest) of a round.
  void Add(const std::string& test, std::vector<Round> rounds, double tokens, double bytes,
           std::vector<Measurement>& results) {
    std::ranges::sort(rounds, {}, &Round::seconds);
    const Round& median = rounds[rounds.size() / 2];
    std::ranges::sort(rounds, {}, [](const Round& round) { return round.floor_seconds / round.seconds; });
    const Round& typical = rounds[rounds.size() / 2];
    results.push_back(
        {.weights = std::string(WeightFormatName(format_)),
         .test = test,
         .tokens_per_second = tokens / median.seconds,
         .best_tokens_per_second = tokens / std::ranges::min_element(rounds, {}, &Round::seconds)->seconds,
         .floor_tokens_per_second = tokens / median.floor_seconds,
         .share_of_floor = typical.floor_seconds / typical.seconds,
         .gigabytes_per_second = bytes / median.seconds / 1e9});
  }

  const InferenceBenchFlags& flags_;
  WeightFormat format_;
  const MachineProbe& probe_;
  InferenceEngine engine_;
  std::shared_ptr<const AdapterSet> adapter_;
};

void PrintTable(const InferenceBenchFlags& flags, const std::vector<Measurement>& results) {
  const char* format = flags.markdown ? "| {} | {} | {:.1f} | {:.1f} | {:.1f} | {:.0f} % | {} |\n"
                                      : "{:<9}{:<36}{:>11.1f}{:>11.1f}{:>11.1f}{:>6.0f} %{:>8}\n";
  if (flags.markdown) {
    fmt::print(
        "| weights | test | tokens/s | best | floor | share | GB/s |\n| --- | --- | ---: | ---: | ---: | "
        "---: | ---: |\n");
  } else {
    fmt::print("{:<9}{:<36}{:>11}{:>11}{:>11}{:>8}{:>8}\n", "weights", "test", "tokens/s", "best", "floor",
               "share", "GB/s");
  }
  for (const Measurement& m : results) {
    const std::string bandwidth =
        m.gigabytes_per_second == 0 ? "" : fmt::format("{:.1f}", m.gigabytes_per_second);
    fmt::print(fmt::runtime(format), m.weights, m.test, m.tokens_per_second, m.best_tokens_per_second,
               m.floor_tokens_per_second, 100 * m.share_of_floor, bandwidth);
  }
}

Status RunInferenceBench(const InferenceBenchFlags& flags) {
  if (flags.rounds < 1 || flags.weights.empty() || flags.depths.empty() || flags.batches.empty() ||
      std::ranges::min(flags.batches) < 1 || flags.adapted.empty() || flags.adapter_rank < 1) {
    return InvalidArgument(
        "--rounds, --batch and --adapter-rank must be at least 1, --weights, --depth and --adapted not "
        "empty");
  }
  std::vector<WeightFormat> formats;
  for (const std::string& name : flags.weights) {
    QWEN25_TRY(const WeightFormat format, ParseWeightFormat(name));
    formats.push_back(format);
  }
  ThreadPool threads(flags.num_threads == 0 ? DefaultNumThreads() : flags.num_threads);
  const size_t num_threads = threads.num_threads();
  const MachineProbe probe;
  const MachineLimits limits = probe.Measure(threads);
  const std::string name = flags.model.empty() ? flags.preset : flags.model;
  if (!flags.json) {
    fmt::print("{}, {} threads, {}; reads {:.1f} GB/s, int8 {:.0f} GOP/s, float32 {:.0f} GFLOP/s\n", name,
               num_threads, CurrentIsa(), limits.bandwidth / 1e9, limits.int8_rate / 1e9,
               limits.float_rate / 1e9);
  }
  std::vector<Measurement> results;
  for (const WeightFormat format : formats) {
    QWEN25_TRY(Model model, BenchModel(flags.preset, flags.model, format, flags.num_threads));
    InferenceBench bench(flags, format, std::move(model), probe);
    QWEN25_RETURN_IF_ERROR(bench.Run(results));
  }
  if (!flags.json) {
    PrintTable(flags, results);
    return {};
  }
  Json json = {{"model", name},
               {"threads", num_threads},
               {"isa", CurrentIsa()},
               {"read_bandwidth", limits.bandwidth},
               {"int8_rate", limits.int8_rate},
               {"float32_rate", limits.float_rate},
               {"peak_rss_bytes", ReadPeakResidentBytes()},
               {"results", Json::array()}};
  for (const Measurement& m : results) {
    json["results"].push_back({{"weights", m.weights},
                               {"test", m.test},
                               {"tokens_per_second", m.tokens_per_second},
                               {"best_tokens_per_second", m.best_tokens_per_second},
                               {"floor_tokens_per_second", m.floor_tokens_per_second},
                               {"share_of_floor", m.share_of_floor},
                               {"bytes_per_second", m.gigabytes_per_second * 1e9}});
  }
  fmt::print("{}\n", json.dump());
  return {};
}

}  // namespace

void AddInferenceBench(CLI::App& verb, RunVerb& run) {
  const auto [what, flags] =
      AddVerb(verb, run, "inference", "Prompt and generation speed beside what the machine allows",
              RunInferenceBench);
  AddPresetFlag(*what, flags->preset);
  what->add_option("-m,--model", flags->model, "Or a model: its folder, .gguf file or name");
  AddListFlag(*what, "--weights", flags->weights, "Weight formats: float32, bfloat16, float16, int8, int4");
  AddKvFlag(*what, flags->kv);
  what->add_option("--prompt", flags->prompt_tokens, "Tokens of the prompt; 0: no prompt test")
      ->capture_default_str();
  what->add_option("--generate", flags->new_tokens, "Tokens to generate; 0: no generation test")
      ->capture_default_str();
  AddGenerationFlags(*what, flags->depths, flags->batches);
  AddListFlag(
      *what, "--adapted", flags->adapted,
      "Sequences of a batch that use a LoRA adapter of all matrices; more than the batch has: left out");
  what->add_option("--adapter-rank", flags->adapter_rank, "Rank of that adapter")->capture_default_str();
  AddRoundsFlag(*what, flags->rounds);
  AddThreadsFlag(*what, flags->num_threads);
  CLI::Option* json = what->add_flag("--json", flags->json, "Print one JSON object");
  what->add_flag("--markdown", flags->markdown, "Print a Markdown table")->excludes(json);
  what->footer(
      "Examples:\n  qwen25 bench inference --preset 0.5b --weights int8,int4 --depth 0,8192\n"
      "  qwen25 bench inference -m runs/demo/model --weights float32,int8 --batch 1,16");
}

}  // namespace qwen25

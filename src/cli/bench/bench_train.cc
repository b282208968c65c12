// qwen25 bench train: whole training steps of a shape with random weights.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/json.h"
#include "base/quantile.h"
#include "base/rng.h"
#include "cli/bench/bench_verb.h"
#include "kernels/isa.h"
#include "memory/spill_file.h"
#include "model/decoder.h"
#include "model/model.h"
#include "model/plan.h"
#include "train/gemm_probe.h"
#include "train/optimizer.h"

namespace qwen25 {
namespace {

struct TrainBenchFlags {
  std::string preset = "nano";
  uint32_t vocab_size = 0;
  size_t sequence_length = 512, batch = 8, rounds = 8, warmup = 2, num_threads = 0;
  bool recompute = false, json = false;
};

Result<ModelConfig> BenchConfig(const TrainBenchFlags& flags) {
  QWEN25_TRY(ModelConfig config, FindPreset(flags.preset));
  if (flags.vocab_size != 0) config.vocab_size = flags.vocab_size;
  config.eos_token_ids.clear();
  QWEN25_RETURN_IF_ERROR(config.Validate("bench"));
  return config;
}

// Sequences of random tokens and targets.
struct RandomBatch {
  std::vector<int32_t> tokens, targets, positions, starts;

  RandomBatch(const ModelConfig& config, size_t num_sequences, size_t sequence_length) {
    Rng rng(1);
    for (size_t i = 0; i < num_sequences * sequence_length; ++i) {
      tokens.push_back(static_cast<int32_t>(rng.Below(config.vocab_size)));
      targets.push_back(static_cast<int32_t>(rng.Below(config.vocab_size)));
      positions.push_back(static_cast<int32_t>(i % sequence_length));
      if (i % sequence_length == 0) starts.push_back(static_cast<int32_t>(i));
    }
    starts.push_back(static_cast<int32_t>(tokens.size()));
  }
};

// Seconds of each round after the warm-up, and the loss of the last round.
struct TrainSteps {
  std::vector<double> seconds;
  double loss = 0;
};
TrainSteps RunTrainSteps(const TrainBenchFlags& flags, Model& model, ThreadPool& threads) {
  const Gradients gradients(model.parameter_set());
  Optimizer optimizer(model.parameter_set(), gradients, OptimizerOptions{}, threads);
  TensorPool tensors;
  Scratch scratch(threads.num_threads());
  Tape tape;
  Execution execution{threads, tensors, scratch, &tape, gradients.ranges()};
  const RandomBatch batch(model.config(), flags.batch, flags.sequence_length);
  const auto num_tokens = static_cast<double>(batch.tokens.size());
  DecoderOptions options;
  options.recompute_layers = flags.recompute;
  TrainSteps steps;
  for (size_t round = 0; round < flags.warmup + flags.rounds; ++round) {
    const double start = NowSeconds();
    gradients.Zero(threads);
    steps.loss = DecoderLoss(execution, model, {batch.tokens, batch.positions, batch.starts}, batch.targets,
                             1.0f / static_cast<float>(num_tokens), options)
                     .sum /
                 num_tokens;
    tape.BackwardTo(0, execution);
    optimizer.Step(1.0, optimizer.GradientNorm());
    if (round >= flags.warmup) steps.seconds.push_back(NowSeconds() - start);
  }
  return steps;
}

Status RunTrainBench(const TrainBenchFlags& flags) {
  QWEN25_TRY(const ModelConfig config, BenchConfig(flags));
  if (flags.sequence_length < 1 || flags.sequence_length > config.MaxContext() || flags.batch < 1 ||
      flags.rounds < 1) {
    return InvalidArgument("--sequence-length must be 1 to {}, --batch and --rounds at least 1",
                           config.MaxContext());
  }
  ThreadPool threads(flags.num_threads == 0 ? DefaultNumThreads() : flags.num_threads);
  Model model(config);
  model.Initialize(1);
  const double peak_flops = MeasureGemmFlops(threads);
  const TrainSteps steps = RunTrainSteps(flags, model, threads);
  if (!std::isfinite(steps.loss)) {
    return Corrupt("the loss of random tokens is {}; the shape {} cannot be trained from random weights",
                   steps.loss, flags.preset);
  }
  const double num_tokens = static_cast<double>(flags.batch * flags.sequence_length);
  const double flops =
      3 * num_tokens * config.ForwardFlopsPerToken(static_cast<double>(flags.sequence_length + 1) / 2);
  const double median = Median(steps.seconds), best = *std::ranges::min_element(steps.seconds);
  Json json;
  json["bench"] = "train";
  json["preset"] = flags.preset;
  json["isa"] = CurrentIsa();
  json["threads"] = threads.num_threads();
  json["batch"] = flags.batch;
  json["sequence_length"] = flags.sequence_length;
  json["tokens_per_second"] = num_tokens / median;
  json["best_tokens_per_second"] = num_tokens / best;
  json["step_seconds"] = median;
  json["gflops"] = flops / median / 1e9;
  json["gemm_gflops"] = peak_flops / 1e9;
  json["share_of_peak"] = flops / median / peak_flops;
  json["best_share_of_peak"] = flops / best / peak_flops;
  json["peak_rss_bytes"] = ReadPeakResidentBytes();
  json["loss"] = steps.loss;
  if (flags.json) {
    fmt::print("{}\n", json.dump());
  } else {
    PrintFigures(json, 28);
  }
  return {};
}

}  // namespace

void AddTrainBench(CLI::App& verb, RunVerb& run) {
  const auto [what, flags] =
      AddVerb(verb, run, "train", "Whole training steps: forward, backward, clipping, AdamW", RunTrainBench);
  AddPresetFlag(*what, flags->preset);
  what->add_option("--vocab-size,--vocab", flags->vocab_size, "Another vocabulary than the preset's");
  AddRoundsFlag(*what, flags->rounds, "--rounds,--steps");
  what->add_option("--warmup", flags->warmup, "Rounds before")->capture_default_str();
  AddThreadsFlag(*what, flags->num_threads);
  what->add_flag("--json", flags->json, "Print one JSON object");
  what->add_option("--batch", flags->batch, "Sequences of a step")->capture_default_str();
  what->add_option("--sequence-length,--sequence", flags->sequence_length, "Tokens of a sequence")
      ->capture_default_str();
  what->add_flag("--recompute", flags->recompute, "Recompute layers during backward");
  what->footer("Example:\n  qwen25 bench train --preset small --batch 4");
}

}  // namespace qwen25

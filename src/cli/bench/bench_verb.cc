// The project's own numbers: speed beside what the machine could reach.
#include <sys/resource.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "base/clock.h"
#include "base/json.h"
#include "base/rng.h"
#include "cli/bench/bench_inference.h"
#include "cli/bench/bench_memory.h"
#include "cli/bench/bench_recall.h"
#include "cli/bench/bench_retrieval.h"
#include "cli/bench/bench_routing.h"
#include "cli/bench/bench_speculation.h"
#include "cli/flags/check_numbers.h"
#include "cli/flags/model_flags.h"
#include "cli/verb.h"
#include "kernels/isa.h"
#include "model/decoder.h"
#include "model/model.h"
#include "model/plan.h"
#include "train/gemm_probe.h"
#include "train/optimizer.h"

namespace qwen25 {
namespace {

struct BenchFlags {
  std::string preset = "nano";
  uint32_t vocab_size = 0;
  size_t sequence_length = 512, batch = 8, rounds = 8, warmup = 2, num_threads = 0;
  bool recompute = false, json = false;
};

double Median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

uint64_t PeakResidentBytes() {
  struct rusage usage {};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<uint64_t>(usage.ru_maxrss) * 1024;
}

Result<ModelConfig> BenchConfig(const BenchFlags& flags) {
  QWEN25_TRY(ModelConfig config, FindPreset(flags.preset));
  if (flags.vocab_size != 0) config.vocab_size = flags.vocab_size;
  config.eos_token_ids.clear();
  QWEN25_RETURN_IF_ERROR(config.Validate("bench"));
  return config;
}

void Print(const BenchFlags& flags, const Json& json) {
  if (flags.json) {
    fmt::print("{}\n", json.dump());
    return;
  }
  for (const auto& [key, value] : json.items()) {
    fmt::print("  {:<28}{}\n", key,
               value.is_number_float() ? fmt::format("{:.4g}", value.get<double>()) : value.dump());
  }
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
TrainSteps RunTrainSteps(const BenchFlags& flags, Model& model, ThreadPool& threads) {
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

Status RunTrainBench(const BenchFlags& flags) {
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
  json["peak_rss_bytes"] = PeakResidentBytes();
  json["loss"] = steps.loss;
  Print(flags, json);
  return {};
}

void AddPresetFlag(CLI::App& what, std::string& preset) {
  what.add_option("--preset", preset, "Shape; weights are random")->capture_default_str();
}
void AddWeightsFlag(CLI::App& what, std::string& weights) {
  what.add_option("--weights", weights, "float32, bfloat16, float16, int8 or int4")->capture_default_str();
}
template <typename Count>
void AddRoundsFlag(CLI::App& what, Count& rounds) {
  what.add_option("--rounds", rounds, "Measured rounds; medians are reported")->capture_default_str();
}
template <typename Count>
void AddThreadsFlag(CLI::App& what, Count& num_threads) {
  what.add_option("--threads", num_threads, "Threads; default: every core this process may use")
      ->check(kThreadCount);
}

void AddInferenceBench(CLI::App& verb, RunVerb& run) {
  auto flags = std::make_shared<InferenceBenchFlags>();
  CLI::App* what =
      verb.add_subcommand("inference", "Prompt and generation speed beside what the machine allows");
  AddPresetFlag(*what, flags->preset);
  what->add_option("-m,--model", flags->model, "Or a model folder");
  what->add_option("--weights", flags->weights, "Weight formats: float32, bfloat16, float16, int8, int4")
      ->delimiter(',')
      ->capture_default_str();
  AddKvFlag(*what, flags->kv);
  what->add_option("--prompt", flags->prompt_tokens, "Tokens of the prompt; 0: no prompt test")
      ->capture_default_str();
  what->add_option("--generate", flags->new_tokens, "Tokens to generate; 0: no generation test")
      ->capture_default_str();
  what->add_option("--depth", flags->depths, "Tokens of context before the generated ones")
      ->delimiter(',')
      ->capture_default_str();
  what->add_option("--batch", flags->batches, "Sequences that generate together")
      ->delimiter(',')
      ->capture_default_str();
  AddRoundsFlag(*what, flags->rounds);
  AddThreadsFlag(*what, flags->num_threads);
  CLI::Option* json = what->add_flag("--json", flags->json, "Print one JSON object");
  what->add_flag("--markdown", flags->markdown, "Print a Markdown table")->excludes(json);
  what->footer(
      "Examples:\n  qwen25 bench inference --preset 0.5b --weights int8,int4 --depth 0,8192\n"
      "  qwen25 bench inference -m runs/demo/model --weights float32,int8 --batch 1,16");
  what->callback([flags, &run] { run = [flags] { return RunInferenceBench(*flags); }; });
}

void AddRoutingBench(CLI::App& verb, RunVerb& run) {
  auto flags = std::make_shared<RoutingBenchFlags>();
  CLI::App* what = verb.add_subcommand("routing", "Routed attention beside dense attention, in turn");
  AddPresetFlag(*what, flags->preset);
  what->add_option("-m,--model", flags->model, "Or a model folder or .gguf file");
  AddWeightsFlag(*what, flags->weights);
  AddKvFlag(*what, flags->kv);
  what->add_option("--routing", flags->policies, "A policy beside dense; may be given several times");
  what->add_option("--depth", flags->depths, "Tokens of context before the generated ones")
      ->delimiter(',')
      ->capture_default_str();
  what->add_option("--batch", flags->batches, "Sequences that generate together")
      ->delimiter(',')
      ->capture_default_str();
  what->add_option("--prompt", flags->prompts, "Lengths of prompts to read")->delimiter(',');
  what->add_option("--read", flags->reads, "Tokens to read after each depth")->delimiter(',');
  what->add_option("--recall-window", flags->recall_window,
                   "Let histories grow beyond the model's positions, and see older tokens at this distance; "
                   "the policies are then compared with each other only")
      ->capture_default_str();
  what->add_option("--spill-directory", flags->spill_directory, "Where such histories lie")
      ->check(CLI::ExistingDirectory);
  what->add_flag("!--no-dense-prompts", flags->dense_prompts, "Read prompts with the policies only");
  what->add_option("-n,--generate", flags->new_tokens, "Tokens to generate")->capture_default_str();
  AddRoundsFlag(*what, flags->rounds);
  AddThreadsFlag(*what, flags->num_threads);
  what->add_flag("--json", flags->json, "Print a JSON array");
  what->footer(
      "Examples:\n  qwen25 bench routing --routing top_k:16 --depth 1024,32768,131072\n"
      "  qwen25 bench routing --routing top_p:0.95 --routing top_k:16,score=bound --depth 8192 --batch 16\n"
      "  qwen25 bench routing --routing top_k:16 --depth 1024 --prompt 32768 --rounds 1\n"
      "  qwen25 bench routing --routing top_k:16 --recall-window 4096 --depth 10000,100000,1000000 --read "
      "512");
  what->callback([flags, &run] { run = [flags] { return RunRoutingBench(*flags); }; });
}

void AddMemoryBench(CLI::App& verb, RunVerb& run) {
  auto flags = std::make_shared<MemoryBenchFlags>();
  CLI::App* what = verb.add_subcommand(
      "memory", "A full store of keys and values, and a dialogue that goes on beside one computed again");
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
  what->callback([flags, &run] { run = [flags] { return RunMemoryBench(*flags); }; });
}

void AddRecallBench(CLI::App& verb, RunVerb& run) {
  auto flags = std::make_shared<RecallBenchFlags>();
  CLI::App* what = verb.add_subcommand(
      "recall", "Whether a model finds facts far back in a history, by its length and the depth of the fact");
  AddModelFlags(*what, flags->model, /*required=*/false);
  what->add_option("--length", flags->lengths, "Tokens of the histories")
      ->delimiter(',')
      ->capture_default_str();
  what->add_option("--depths", flags->depths, "Places of facts in a history")->capture_default_str();
  what->add_option("--histories", flags->histories, "Histories of each length")->capture_default_str();
  what->add_option(
          "--dialogues", flags->dialogues,
          "Tell each history in this many dialogues, which are stored, and ask in a new one that recalls "
          "them; 0: ask in the same dialogue")
      ->capture_default_str();
  what->add_option("--notes", flags->notes,
                   "More facts, each stored as a note beside the history and recalled by attention")
      ->capture_default_str();
  what->add_option("--seed", flags->seed, "Seed of the histories or documents")->capture_default_str();
  what->add_option("-o,--output", flags->output, "Heat map to write, SVG");
  what->add_option("--growth", flags->growth_output,
                   "Chart of a token's cost and of memory over the longest history to write, SVG");
  what->add_option("--text", flags->texts,
                   "Files whose bytes stand between the facts, back to back; default: numbers that count up")
      ->delimiter(',');
  what->add_option("--write-data", flags->write_data, "Instead, write training documents into this shard");
  what->add_option("--documents", flags->documents, "Number of documents")->capture_default_str();
  what->add_option("--document-tokens", flags->document_tokens, "Tokens of each document")
      ->capture_default_str();
  what->add_option("--fact-every", flags->fact_every, "Tokens to a fact")->capture_default_str();
  what->add_flag("--json", flags->json, "Print one JSON object");
  what->footer(
      "Examples:\n  qwen25 bench recall --write-data recall/train --documents 20000 --document-tokens 512\n"
      "  qwen25 bench recall -m recall/model --length 1024,4096 --routing top_k:4,dense_below=0 -o "
      "recall.svg\n"
      "  qwen25 bench recall -m recall/model --length 100000 --recall-window 1024 --text book.txt");
  what->callback([flags, &run] { run = [flags] { return RunRecallBench(*flags); }; });
}

void AddRetrievalBench(CLI::App& verb, RunVerb& run) {
  auto flags = std::make_shared<RetrievalBenchFlags>();
  CLI::App* what = verb.add_subcommand(
      "retrieval", "How well notes are found: by words, by vectors and by both, and how fast");
  what->add_option("set", flags->set,
                   "Folder with notes.jsonl and questions.jsonl (bench/make_retrieval_sets.py makes some)")
      ->required();
  what->add_option("--memory", flags->memory.folder,
                   "Put the notes there and find them again next time; default: a temporary folder");
  AddMemoryKeyFlag(*what, flags->memory);
  what->add_option("--questions", flags->max_questions, "Ask only this many");
  what->add_flag("--json", flags->json, "Print one JSON object");
  AddEmbedderFlags(*what, flags->embedder);
  what->footer(
      "Examples:\n  qwen25 bench retrieval sets/books --embedder hashed\n"
      "  qwen25 bench retrieval sets/dialogues --embedder model:Qwen2.5-0.5B --pooling causal-mean");
  what->callback([flags, &run] { run = [flags] { return RunRetrievalBench(*flags); }; });
}

void AddSpeculationBench(CLI::App& verb, RunVerb& run) {
  auto flags = std::make_shared<SpeculationBenchFlags>();
  CLI::App* what = verb.add_subcommand(
      "speculation", "Generation with and without prompt lookup, and what verifying tokens costs");
  AddPresetFlag(*what, flags->preset);
  what->add_option("-m,--model", flags->model, "Or a model folder or .gguf file");
  AddWeightsFlag(*what, flags->weights);
  AddKvFlag(*what, flags->kv);
  what->add_option("--tokenizer", flags->tokenizer, "Tokenizer folder, if it is not the model's");
  what->add_option("--prompt-file", flags->prompt_file, "The text to continue")->required();
  what->add_option(
      "--answer-file", flags->answer_file,
      "The answer that the model is made to write, whatever it computes; default: the most likely tokens");
  what->add_option("-n,--generate", flags->new_tokens, "Most tokens to generate")->capture_default_str();
  what->add_option("--draft-tokens", flags->draft_tokens, "Most tokens proposed at once")
      ->capture_default_str();
  AddRoundsFlag(*what, flags->rounds);
  AddThreadsFlag(*what, flags->num_threads);
  what->add_flag("--json", flags->json, "Print one JSON object");
  what->footer(
      "Examples:\n  qwen25 bench speculation -m MODEL --prompt-file edit.txt\n"
      "  qwen25 bench speculation --preset 0.5b --tokenizer MODEL --prompt-file old.txt --answer-file "
      "new.txt");
  what->callback([flags, &run] { run = [flags] { return RunSpeculationBench(*flags); }; });
}

}  // namespace

void AddBenchVerb(CLI::App& app, RunVerb& run) {
  auto flags = std::make_shared<BenchFlags>();
  CLI::App* verb = app.add_subcommand("bench", "Measure speed, beside the machine's own limits");
  verb->require_subcommand(1);
  verb->footer(
      "Example:\n  qwen25 bench train --preset small --batch 4\n\n`qwen25 bench NAME --help` explains one.");
  const auto common = [&](CLI::App* what) {
    AddPresetFlag(*what, flags->preset);
    what->add_option("--vocab-size,--vocab", flags->vocab_size, "Another vocabulary than the preset's");
    what->add_option("--rounds,--steps", flags->rounds, "Measured rounds; medians are reported")
        ->capture_default_str();
    what->add_option("--warmup", flags->warmup, "Rounds before")->capture_default_str();
    AddThreadsFlag(*what, flags->num_threads);
    what->add_flag("--json", flags->json, "Print one JSON object");
  };
  CLI::App* train = verb->add_subcommand("train", "Whole training steps: forward, backward, clipping, AdamW");
  common(train);
  train->add_option("--batch", flags->batch, "Sequences of a step")->capture_default_str();
  train->add_option("--sequence-length,--sequence", flags->sequence_length, "Tokens of a sequence")
      ->capture_default_str();
  train->add_flag("--recompute", flags->recompute, "Recompute layers during backward");
  train->footer("Example:\n  qwen25 bench train --preset small --batch 4");
  train->callback([flags, &run] { run = [flags] { return RunTrainBench(*flags); }; });

  AddInferenceBench(*verb, run);
  AddSpeculationBench(*verb, run);
  AddRoutingBench(*verb, run);
  AddMemoryBench(*verb, run);
  AddRecallBench(*verb, run);
  AddRetrievalBench(*verb, run);
}

}  // namespace qwen25

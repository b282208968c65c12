// qwen25 bench routing: generation and prompts with routed attention beside dense attention, by depth and
// number of sequences.
#include <algorithm>
#include <functional>
#include <memory>
#include <optional>

#include "base/clock.h"
#include "base/json.h"
#include "base/quantile.h"
#include "cli/bench/bench_history.h"
#include "cli/bench/bench_model.h"
#include "cli/bench/bench_verb.h"
#include "cli/flags/model_flags.h"
#include "cli/terminal/interrupt.h"
#include "cli/terminal/show_progress.h"
#include "infer/session.h"
#include "memory/spill_file.h"

namespace qwen25 {
namespace {

struct RoutingBenchFlags {
  std::string preset = "0.5b";  // shape, with random weights; or
  std::string model;            // a model folder
  std::string weights = "int8";
  KvFormat kv = KvFormat::kFloat16;
  std::vector<std::string> policies;  // RoutingPolicy::Parse; each beside dense
  std::vector<uint32_t> depths = {1024, 8192, 32768}, batches = {1}, prompts;
  std::vector<uint32_t> reads;  // tokens to read after each depth
  uint32_t recall_window = 0;   // tokens; of histories of any length, which have no dense attention
  std::string spill_directory;  // where these lie; empty: the system's for temporary files
  uint32_t new_tokens = 32, rounds = 3, num_threads = 0;
  bool json = false, dense_prompts = true;
};

// One policy in one place.
struct Measurement {
  std::string test, policy;
  double seconds = 0;     // of a step or a prompt, median
  double speedup = 1;     // median over rounds of dense seconds / seconds, measured in turn
  double growth = 1;      // the same of seconds / those of the first depth
  double read_share = 1;  // of the blocks that were visible, of what routed layers saw
  double tokens_per_second = 0;
  double attention_seconds = 0;  // of all layers, mean
  uint64_t peak_bytes = 0;       // of RAM of this process
};

void ResetCounts(std::span<Session* const> sessions) {
  for (Session* session : sessions) session->ResetRoutingCounts();
}

// Fills contexts fast; what is in them does not matter for speed.
constexpr const char* kFillPolicy = "top_k:8,dense_below=1024,dense_layers=0";

InferenceEngine::Options EngineOptions(const RoutingBenchFlags& flags, size_t max_context, size_t max_total) {
  InferenceEngine::Options options = {.num_threads = flags.num_threads,
                                      .max_context_tokens = max_context,
                                      .max_total_tokens = max_total,
                                      .kv_format = flags.kv,
                                      .keep_summaries = true};
  if (flags.recall_window == 0) return options;
  options.recall_window = flags.recall_window;
  options.spill_directory = flags.spill_directory;
  options.history_bytes = UINT64_MAX;  // the contexts say how much
  return options;
}

class RoutingBench {
 public:
  RoutingBench(const RoutingBenchFlags& flags, std::vector<RoutingPolicy> policies, Model model,
               const InferenceEngine::Options& options)
      : flags_(flags), policies_(std::move(policies)), engine_(std::move(model), options) {}

  Status Run(std::vector<Measurement>& results) {
    for (const uint32_t batch : flags_.batches) QWEN25_RETURN_IF_ERROR(RunDepths(batch, results));
    for (const uint32_t tokens : flags_.prompts) QWEN25_RETURN_IF_ERROR(RunPrompt(tokens, results));
    return {};
  }

 private:
  // Something to measure with every policy: `measure` runs it and sets its seconds.
  struct Case {
    std::string test;
    double tokens;  // that it takes or makes in these seconds
    double steps;   // forward passes that it is the mean of, 1 for a prompt
    bool with_dense;
    std::vector<Session*> sessions;  // that it uses
    std::function<Status(double& seconds)> measure;
  };
  using Sessions = std::vector<std::unique_ptr<Session>>;

  Status Fill(Session& session, uint32_t depth, uint64_t seed) {
    QWEN25_TRY(const RoutingPolicy fill, RoutingPolicy::Parse(kFillPolicy));
    QWEN25_RETURN_IF_ERROR(session.SetRouting(fill));
    // Other tokens for each depth: blocks of an earlier one would stand in the way of their copies.
    return FillHistory(engine_, session, RandomTokens(engine_.model().config(), depth, depth + seed), seed);
  }

  Status RunDepths(uint32_t batch, std::vector<Measurement>& results) {
    std::vector<Sessions> depths;
    for (const uint32_t depth : flags_.depths) {
      Sessions& sessions = depths.emplace_back();
      for (uint32_t i = 0; i < batch; ++i) {
        sessions.push_back(std::make_unique<Session>(engine_));
        QWEN25_RETURN_IF_ERROR(Fill(*sessions.back(), depth, i));
      }
    }
    std::vector<Case> cases;
    for (size_t i = 0; i < depths.size(); ++i) cases.push_back(Decode(flags_.depths[i], depths[i]));
    QWEN25_RETURN_IF_ERROR(Compare(cases, results));
    for (const uint32_t tokens : batch == 1 ? flags_.reads : std::vector<uint32_t>()) {
      cases.clear();
      for (size_t i = 0; i < depths.size(); ++i) {
        cases.push_back(Read(flags_.depths[i], *depths[i][0], tokens));
      }
      QWEN25_RETURN_IF_ERROR(Compare(cases, results));
    }
    return {};
  }

  Case Decode(uint32_t depth, const Sessions& sessions) {
    std::vector<Session*> used;
    for (const auto& session : sessions) used.push_back(session.get());
    const auto steps = [this, depth, &sessions, used](double& seconds) -> Status {
      QWEN25_RETURN_IF_ERROR(ReturnTo(sessions, depth));
      ResetCounts(used);
      QWEN25_TRY(seconds, DecodeSeconds(engine_, sessions, flags_.new_tokens));
      return {};
    };
    std::string test = fmt::format("generate after {}", depth);
    if (sessions.size() > 1) test += fmt::format(", {} together", sessions.size());
    return {std::move(test),
            static_cast<double>(sessions.size()),
            static_cast<double>(flags_.new_tokens),
            true,
            used,
            steps};
  }

  Case Read(uint32_t depth, Session& session, uint32_t tokens) {
    const auto read = [this, depth, &session, tokens](double& seconds) -> Status {
      session.Truncate(depth);
      session.ResetRoutingCounts();
      const double start = NowSeconds();
      QWEN25_RETURN_IF_ERROR(session.Append(RandomTokens(engine_.model().config(), tokens, 1),
                                            [](size_t) { return !InterruptGuard::requested(); }));
      seconds = NowSeconds() - start;
      return {};
    };
    return {fmt::format("read {} after {}", tokens, depth),
            static_cast<double>(tokens),
            1,
            flags_.dense_prompts,
            {&session},
            read};
  }

  Status RunPrompt(uint32_t tokens, std::vector<Measurement>& results) {
    Session session(engine_);
    const std::vector<int32_t> prompt = RandomTokens(engine_.model().config(), tokens, 1);
    const auto whole = [&](double& seconds) -> Status {
      session.Truncate(0);
      session.ResetRoutingCounts();
      const double start = NowSeconds();
      {
        Progress progress(fmt::format("prompt {}", session.routing().ToString()), "tokens", tokens);
        QWEN25_RETURN_IF_ERROR(session.Append(prompt, ShowUntilInterrupt(progress)));
      }
      seconds = NowSeconds() - start;
      return {};
    };
    return Compare({{fmt::format("prompt {}", tokens),
                     static_cast<double>(tokens),
                     1,
                     flags_.dense_prompts,
                     {&session},
                     whole}},
                   results);
  }

  // What the rounds gave of one policy in one case.
  struct Rounds {
    std::vector<double> seconds, speedups, growths;
    Measurement last;
  };

  // Runs dense and every policy in every case in turn, some rounds; the first round of generation warms up.
  Status Compare(const std::vector<Case>& cases, std::vector<Measurement>& results) {
    const size_t num_policies = policies_.size() + 1;
    std::vector<Rounds> rounds(cases.size() * num_policies);
    const uint32_t warmup = cases[0].steps > 1 ? 1 : 0;
    for (uint32_t round = 0; round < flags_.rounds + warmup; ++round) {
      std::vector<double> dense(cases.size());
      for (size_t policy = 0; policy < num_policies; ++policy) {
        double first = 0;
        for (size_t i = 0; i < cases.size(); ++i) {
          if (policy == 0 && !RunsDense(cases[i])) continue;
          Rounds& row = rounds[i * num_policies + policy];
          double now = 0;
          QWEN25_RETURN_IF_ERROR(RunCase(cases[i], policy, now, row.last));
          if (policy == 0) dense[i] = now;
          if (i == 0) first = now;
          if (round < warmup) continue;
          row.seconds.push_back(now);
          row.speedups.push_back(dense[i] / now);
          row.growths.push_back(now / first);
        }
      }
    }
    for (size_t i = 0; i < rounds.size(); ++i) {
      const Case& of = cases[i / num_policies];
      if (rounds[i].seconds.empty()) continue;
      Measurement& result = results.emplace_back(rounds[i].last);
      result.test = of.test;
      result.policy = i % num_policies == 0 ? "dense" : flags_.policies[i % num_policies - 1];
      result.seconds = Median(rounds[i].seconds);
      result.speedup = Median(rounds[i].speedups);
      result.growth = Median(rounds[i].growths);
      result.tokens_per_second = of.tokens / result.seconds;
    }
    return {};
  }

  // A history longer than the model's positions has no dense attention.
  bool RunsDense(const Case& of) const { return of.with_dense && flags_.recall_window == 0; }

  Status RunCase(const Case& of, size_t policy, double& seconds, Measurement& last) {
    for (Session* session : of.sessions) {
      QWEN25_RETURN_IF_ERROR(session->SetRouting(policy == 0 ? RoutingPolicy() : policies_[policy - 1]));
    }
    ResetPeakResidentBytes();
    QWEN25_RETURN_IF_ERROR(of.measure(seconds));
    last.peak_bytes = ReadPeakResidentBytes();
    RoutingTotals totals;
    for (const Session* session : of.sessions) totals.Add(session->routing_counts());
    last.read_share = totals.ReadShare();
    last.attention_seconds = totals.seconds / of.steps;
    return {};
  }

  const RoutingBenchFlags& flags_;
  std::vector<RoutingPolicy> policies_;
  InferenceEngine engine_;
};

void Print(const RoutingBenchFlags& flags, const std::vector<Measurement>& results) {
  if (flags.json) {
    Json json = Json::array();
    for (const Measurement& m : results) {
      json.push_back({{"test", m.test},
                      {"policy", m.policy},
                      {"seconds", m.seconds},
                      {"tokens_per_second", m.tokens_per_second},
                      {"attention_seconds", m.attention_seconds},
                      {"peak_bytes", m.peak_bytes},
                      {"speedup", m.speedup},
                      {"growth", m.growth},
                      {"read_share", m.read_share}});
    }
    fmt::print("{}\n", json.dump());
    return;
  }
  fmt::print("{:<36}{:>12}{:>11}{:>14}{:>10}{:>10}{:>8}{:>8}  {}\n", "test", "ms", "tokens/s", "attention ms",
             "speedup", "to first", "read", "MiB", "policy");
  for (const Measurement& m : results) {
    const std::string speedup = m.speedup > 0 ? fmt::format("{:.2f}x", m.speedup) : "";
    fmt::print("{:<36}{:>12.2f}{:>11.1f}{:>14.2f}{:>10}{:>9.2f}x{:>6.1f} %{:>8}  {}\n", m.test,
               1e3 * m.seconds, m.tokens_per_second, 1e3 * m.attention_seconds, speedup, m.growth,
               100 * m.read_share, m.peak_bytes >> 20, m.policy);
  }
}

Status RunRoutingBench(const RoutingBenchFlags& flags) {
  if (flags.rounds < 1 || flags.new_tokens < 2 || flags.depths.empty() || flags.batches.empty() ||
      std::ranges::min(flags.batches) < 1 || std::ranges::min(flags.depths) < 1) {
    return InvalidArgument("--rounds, --batch and --depth must be at least 1, --generate at least 2");
  }
  if (flags.recall_window > 0 && flags.policies.empty()) {
    return InvalidArgument(
        "with --recall-window there is no dense attention to measure: name a policy, as in --routing "
        "top_k:16");
  }
  std::vector<RoutingPolicy> policies;
  for (const std::string& text : flags.policies) {
    QWEN25_TRY(const RoutingPolicy policy, RoutingPolicy::Parse(text));
    policies.push_back(policy);
  }
  QWEN25_TRY(const WeightFormat format, ParseWeightFormat(flags.weights));
  const uint32_t most_appended =
      std::max(flags.new_tokens, flags.reads.empty() ? 0 : std::ranges::max(flags.reads));
  size_t depths = 0;  // of one sequence each
  for (const uint32_t depth : flags.depths) depths += depth + most_appended + kBlockTokens;
  const size_t depth = size_t{std::ranges::max(flags.depths)} + most_appended + kBlockTokens;
  const size_t prompt = flags.prompts.empty() ? 0 : std::ranges::max(flags.prompts) + kBlockTokens;
  const size_t max_context = std::max(depth, prompt);
  QWEN25_TRY(Model model, BenchModel(flags.preset, flags.model, format, flags.num_threads,
                                     flags.recall_window == 0 ? max_context : flags.recall_window));
  InferenceEngine::Options options =
      EngineOptions(flags, max_context, std::max(std::ranges::max(flags.batches) * depths, prompt));
  for (const RoutingPolicy& policy : policies) {
    options.routing = policy;
    QWEN25_RETURN_IF_ERROR(InferenceEngine::Check(model.config(), options));
  }
  const InterruptGuard guard;
  RoutingBench bench(flags, std::move(policies), std::move(model), options);
  std::vector<Measurement> results;
  QWEN25_RETURN_IF_ERROR(bench.Run(results));
  Print(flags, results);
  return {};
}

}  // namespace

void AddRoutingBench(CLI::App& verb, RunVerb& run) {
  const auto [what, flags] =
      AddVerb(verb, run, "routing", "Routed attention beside dense attention, in turn", RunRoutingBench);
  AddPresetFlag(*what, flags->preset);
  what->add_option("-m,--model", flags->model, "Or a model: its folder, .gguf file or name");
  AddWeightsFlag(*what, flags->weights);
  AddKvFlag(*what, flags->kv);
  what->add_option("--routing", flags->policies, "A policy beside dense; may be given several times");
  AddGenerationFlags(*what, flags->depths, flags->batches);
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
}

}  // namespace qwen25

#include "cli/bench_routing.h"

#include <algorithm>
#include <memory>
#include <optional>

#include "base/clock.h"
#include "base/json.h"
#include "base/progress.h"
#include "cli/bench_inference.h"
#include "cli/interrupt.h"
#include "infer/session.h"
#include "kernels/isa.h"

namespace qwen25 {
namespace {

// One policy in one place.
struct Measurement {
  std::string test, policy;
  double seconds = 0;     // of a step or a prompt, median
  double speedup = 1;     // median over rounds of dense seconds / seconds, measured in turn
  double read_share = 1;  // of the blocks that were visible, of what routed layers saw
  double tokens_per_second = 0;
  double attention_seconds = 0;  // of all layers, mean
};

// Sums of the routed layers.
double ReadShare(const InferenceEngine& engine) {
  uint64_t visible = 0, read = 0;
  for (const RoutingCounts& counts : engine.routing_counts()) {
    visible += counts.blocks_visible;
    read += counts.blocks_read;
  }
  return visible == 0 ? 1 : static_cast<double>(read) / static_cast<double>(visible);
}
double AttentionSeconds(const InferenceEngine& engine) {
  double seconds = 0;
  for (const RoutingCounts& counts : engine.routing_counts()) {
    seconds += static_cast<double>(counts.nanoseconds) * 1e-9;
  }
  return seconds;
}

double Median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

// Fills contexts fast; what is in them does not matter for speed.
constexpr const char* kFillPolicy = "top_k:8,dense_below=1024,dense_layers=0";

class RoutingBench {
 public:
  RoutingBench(const RoutingBenchFlags& flags, std::vector<RoutingPolicy> policies, Model model,
               size_t max_context, size_t max_total)
      : flags_(flags),
        policies_(std::move(policies)),
        engine_(std::move(model), {.num_threads = flags.num_threads,
                                   .max_context_tokens = max_context,
                                   .max_total_tokens = max_total,
                                   .kv_format = flags.kv,
                                   .keep_summaries = true}) {}

  Status Run(std::vector<Measurement>& results) {
    for (const uint32_t batch : flags_.batches) {
      for (const uint32_t depth : flags_.depths) QWEN25_RETURN_IF_ERROR(RunDecode(batch, depth, results));
    }
    for (const uint32_t tokens : flags_.prompts) QWEN25_RETURN_IF_ERROR(RunPrompt(tokens, results));
    return {};
  }

 private:
  Status Fill(Session& session, uint32_t depth, uint64_t seed, const std::string& label) {
    QWEN25_TRY(const RoutingPolicy fill, RoutingPolicy::Parse(kFillPolicy));
    QWEN25_RETURN_IF_ERROR(engine_.SetRouting(fill));
    Progress progress(label, "tokens", depth);
    return session.Append(RandomTokens(engine_.model().config(), depth, seed), [&](size_t done) {
      progress.Update(done);
      return !InterruptGuard::requested();
    });
  }

  Status RunDecode(uint32_t batch, uint32_t depth, std::vector<Measurement>& results) {
    std::vector<std::unique_ptr<Session>> sessions;
    for (uint32_t i = 0; i < batch; ++i) {
      sessions.push_back(std::make_unique<Session>(engine_));
      QWEN25_RETURN_IF_ERROR(Fill(*sessions.back(), depth, i, fmt::format("filling {} of {}", i + 1, batch)));
    }
    std::vector<int32_t> drawn(batch);
    std::vector<SessionTokens> parts(batch);
    const auto steps = [&](double& seconds) -> Status {
      for (auto& session : sessions) session->Truncate(depth - 1);
      const int32_t first = 1;
      for (auto& session : sessions) QWEN25_RETURN_IF_ERROR(session->Append({&first, 1}));
      engine_.ResetRoutingCounts();
      const double start = NowSeconds();
      for (uint32_t i = 0; i < flags_.new_tokens; ++i) {
        QWEN25_RETURN_IF_ERROR(DecodeStep(engine_, sessions, drawn, parts));
      }
      seconds = (NowSeconds() - start) / flags_.new_tokens;
      return {};
    };
    std::string test = fmt::format("generate behind {}", depth);
    if (batch > 1) test += fmt::format(", {} together", batch);
    return Compare(test, batch, flags_.new_tokens, /*with_dense=*/true, steps, results);
  }

  Status RunPrompt(uint32_t tokens, std::vector<Measurement>& results) {
    Session session(engine_);
    const std::vector<int32_t> prompt = RandomTokens(engine_.model().config(), tokens, 1);
    const auto whole = [&](double& seconds) -> Status {
      session.Truncate(0);
      engine_.ResetRoutingCounts();
      const double start = NowSeconds();
      {
        Progress progress(fmt::format("prompt {}", engine_.routing().ToString()), "tokens", tokens);
        QWEN25_RETURN_IF_ERROR(session.Append(prompt, [&](size_t done) {
          progress.Update(done);
          return !InterruptGuard::requested();
        }));
      }
      seconds = NowSeconds() - start;
      return {};
    };
    return Compare(fmt::format("prompt {}", tokens), tokens, 1, flags_.dense_prompts, whole, results);
  }

  // Runs dense and every policy in turn, some rounds; the first round of generation warms up.
  template <typename Function>
  Status Compare(const std::string& test, double tokens, double steps, bool with_dense,
                 const Function& measure, std::vector<Measurement>& results) {
    std::vector<Measurement> rows(policies_.size() + 1);
    std::vector<std::vector<double>> seconds(rows.size()), speedups(rows.size());
    const uint32_t warmup = steps > 1 ? 1 : 0;
    for (uint32_t round = 0; round < flags_.rounds + warmup; ++round) {
      double dense = 0;
      for (size_t i = with_dense ? 0 : 1; i < rows.size(); ++i) {
        QWEN25_RETURN_IF_ERROR(engine_.SetRouting(i == 0 ? RoutingPolicy() : policies_[i - 1]));
        double now = 0;
        QWEN25_RETURN_IF_ERROR(measure(now));
        if (i == 0) dense = now;
        if (round < warmup) continue;
        seconds[i].push_back(now);
        speedups[i].push_back(dense / now);
        rows[i].read_share = ReadShare(engine_);
        rows[i].attention_seconds = AttentionSeconds(engine_) / steps;
      }
    }
    for (size_t i = with_dense ? 0 : 1; i < rows.size(); ++i) {
      rows[i].test = test;
      rows[i].policy = i == 0 ? "dense" : flags_.policies[i - 1];
      rows[i].seconds = Median(seconds[i]);
      rows[i].speedup = Median(speedups[i]);
      rows[i].tokens_per_second = tokens / rows[i].seconds;
      results.push_back(rows[i]);
    }
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
                      {"speedup", m.speedup},
                      {"read_share", m.read_share}});
    }
    fmt::print("{}\n", json.dump());
    return;
  }
  fmt::print("{:<36}{:>12}{:>11}{:>14}{:>9}{:>8}  {}\n", "test", "ms", "tokens/s", "attention ms", "speedup",
             "read", "policy");
  for (const Measurement& m : results) {
    fmt::print("{:<36}{:>12.2f}{:>11.1f}{:>14.2f}{:>8.2f}x{:>6.1f} %  {}\n", m.test, 1e3 * m.seconds,
               m.tokens_per_second, 1e3 * m.attention_seconds, m.speedup, 100 * m.read_share, m.policy);
  }
}

}  // namespace

Status RunRoutingBench(const RoutingBenchFlags& flags) {
  if (flags.rounds < 1 || flags.new_tokens < 2 || flags.depths.empty() || flags.batches.empty() ||
      std::ranges::min(flags.batches) < 1 || std::ranges::min(flags.depths) < 1) {
    return InvalidArgument("--rounds, --batch and --depth must be at least 1, --generate at least 2");
  }
  std::vector<RoutingPolicy> policies;
  for (const std::string& text : flags.policies) {
    QWEN25_TRY(const RoutingPolicy policy, RoutingPolicy::Parse(text));
    policies.push_back(policy);
  }
  QWEN25_TRY(const WeightFormat format, ParseWeightFormat(flags.weights));
  const size_t depth = std::ranges::max(flags.depths) + flags.new_tokens + kBlockTokens;
  const size_t prompt = flags.prompts.empty() ? 0 : std::ranges::max(flags.prompts) + kBlockTokens;
  const size_t max_context = std::max(depth, prompt);
  QWEN25_TRY(Model model, BenchModel(flags.preset, flags.model, format, flags.num_threads, max_context));
  const InterruptGuard guard;
  RoutingBench bench(flags, std::move(policies), std::move(model), max_context,
                     std::max(std::ranges::max(flags.batches) * depth, prompt));
  std::vector<Measurement> results;
  QWEN25_RETURN_IF_ERROR(bench.Run(results));
  Print(flags, results);
  return {};
}

}  // namespace qwen25

// Speed of choosing blocks: the scores of a decode step of the 0.5B shape, and the choice by shares.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/rng.h"
#include "kernels/block_summary.h"
#include "ops/attention/block_attention.h"
#include "ops/routing/choose_blocks.h"
#include "ops/routing/layer_routing.h"
#include "tensor/aligned_buffer.h"

namespace qwen25 {
namespace {

// A token of 24 layers and 2 kv heads of 7 query heads after `state.range(0)` blocks, on one thread: 48
// lists of panels (`state.range(1)`), which come from memory, or one, which stays in the cache.
void ScorePanels(benchmark::State& state, BlockScore score) {
  constexpr size_t kHeadDim = 64, kHeads = 7;
  const auto kLists = static_cast<size_t>(state.range(1));
  const auto num_blocks = static_cast<size_t>(state.range(0));
  const size_t num_panels = num_blocks / kPanelBlocks, panel_numbers = NumbersPerPanel(kHeadDim);
  std::vector<double> frequencies;
  for (size_t i = 0; i < kHeadDim / 2; ++i) {
    frequencies.push_back(std::pow(1e6, -2.0 * static_cast<double>(i) / kHeadDim));
  }
  const RotaryTable rotary(frequencies, (num_blocks + 1) * kBlockTokens);
  AlignedBuffer<uint16_t> panels(kLists * num_panels * panel_numbers);
  std::fill_n(panels.data(), panels.size(), uint16_t{0x3266});  // about 0.2
  AlignedBuffer<float> queries(kHeads * kHeadDim), scores(kHeads * num_blocks),
      memory(BlockScoreState::NumFloats(kHeadDim, kHeads));
  Rng rng(1);
  for (size_t i = 0; i < queries.size(); ++i) queries.data()[i] = static_cast<float>(rng.Normal() / 8);
  const BlockScoreState scratch(memory.data(), kHeadDim, kHeads);
  LoadScoreQueries(kHeadDim, kHeads, queries.data(), scratch);
  for (auto _ : state) {
    for (size_t panel = 0; panel < kLists * num_panels; ++panel) {
      const size_t first_block = panel % num_panels * kPanelBlocks;
      ScorePanel(rotary.angles(), kHeads, num_blocks,
                 {.data = panels.data() + panel * panel_numbers,
                  .first_block = first_block,
                  .num_blocks = kPanelBlocks,
                  .next = panels.data() + (panel + 1) % (kLists * num_panels) * panel_numbers},
                 score, queries.data(), scratch, {scores.data() + first_block, num_blocks}, {nullptr, 0});
    }
    benchmark::DoNotOptimize(scores.data());
  }
}

// The default number of blocks out of `state.range(0)`.
void Choose(benchmark::State& state) {
  const auto num_blocks = static_cast<size_t>(state.range(0));
  Rng rng(1);
  std::vector<std::vector<float>> shares(256, std::vector<float>(num_blocks));
  for (auto& row : shares) {
    for (float& share : row)
      share = -std::log(1 - static_cast<float>(rng.Uniform())) / static_cast<float>(num_blocks);
  }
  std::vector<uint32_t> order(num_blocks);
  std::vector<uint64_t> chosen((num_blocks + 63) / 64);
  const RoutingPolicy policy{.kind = RoutingPolicy::Kind::kTopK};
  size_t i = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(ChooseBlocks(policy, shares[i++ % shares.size()], 0, order, chosen));
  }
}

BENCHMARK_CAPTURE(ScorePanels, mean, BlockScore::kMean)
    ->Args({2048, 48})
    ->Args({2048, 1})
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(ScorePanels, bound, BlockScore::kBound)
    ->Args({2048, 48})
    ->Args({2048, 1})
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(ScorePanels, outlier, BlockScore::kOutlier)
    ->Args({2048, 48})
    ->Args({2048, 1})
    ->Unit(benchmark::kMillisecond);
BENCHMARK(Choose)->Arg(128)->Arg(512)->Arg(2048);

}  // namespace
}  // namespace qwen25

BENCHMARK_MAIN();

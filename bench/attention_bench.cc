// Speed of attention, in GFLOP/s. Counted are the multiplications and additions of the products with the keys
// that a row sees, 2 products of 2 D operations per key forward and 5 backward; softmax and rotation come on
// top.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/rng.h"
#include "kernels/isa.h"
#include "ops/attention/block_attention.h"
#include "ops/attention/self_attention.h"

namespace qwen25 {
namespace {

struct Case {
  size_t head_dim, num_heads, num_kv_heads, num_sequences, length;
};
constexpr Case kNano = {32, 8, 2, 8, 512}, kSmall = {64, 12, 4, 4, 512}, kLong = {64, 4, 2, 1, 4096},
               kDocuments = {32, 8, 2, 256, 16}, kNarrow = {8, 128, 8, 1, 512};

struct Batch {
  explicit Batch(const Case& c, size_t first_position = 0)
      : shape{c.num_heads, c.num_kv_heads, c.head_dim, 1 / std::sqrt(static_cast<float>(c.head_dim))},
        rotary(InverseFrequencies(c.head_dim, 10000), first_position + c.length),
        threads(DefaultNumThreads()),
        scratch(DefaultNumThreads()) {
    starts.push_back(0);
    for (size_t s = 0; s < c.num_sequences; ++s) {
      for (size_t i = 0; i < c.length; ++i) positions.push_back(static_cast<int32_t>(first_position + i));
      starts.push_back(static_cast<int32_t>(positions.size()));
    }
    tokens.resize(positions.size());
    qkv = tensors.New(positions.size(), (c.num_heads + 2 * c.num_kv_heads) * c.head_dim);
    Rng rng(1);
    for (size_t i = 0; i < qkv.rows() * qkv.cols(); ++i) qkv.data()[i] = static_cast<float>(rng.Normal());
  }
  // Multiplications and additions of one causal product of queries and keys.
  double ProductOperations() const {
    double keys = 0;
    for (const int32_t position : positions) keys += position + 1;
    return 2 * keys * static_cast<double>(shape.num_heads * shape.head_dim);
  }
  SelfAttentionCall Self() const {
    return {.shape = shape, .rotary = rotary, .qkv = qkv, .batch = {tokens, positions, starts}};
  }
  BlockAttentionCall Over(std::span<const SequenceKv> kv) const {
    return {.shape = shape, .rotary = rotary, .qkv = qkv, .batch = {tokens, positions, starts}, .kv = kv};
  }

  AttentionShape shape;
  RotaryTable rotary;
  ThreadPool threads;
  TensorPool tensors;
  Scratch scratch;
  Tape tape;
  Execution execution{threads, tensors, scratch, nullptr};
  std::vector<int32_t> tokens, positions, starts;
  Tensor qkv;
};

void Report(benchmark::State& state, double operations) {
  state.counters["GFLOP/s"] =
      benchmark::Counter(operations * 1e-9, benchmark::Counter::kIsIterationInvariantRate);
}

void Forward(benchmark::State& state, const Case& c) {
  Batch batch(c);
  for (auto _ : state) {
    benchmark::DoNotOptimize(SelfAttention(batch.execution, batch.Self()).data());
  }
  Report(state, 2 * batch.ProductOperations());
}

void Backward(benchmark::State& state, const Case& c) {
  Batch batch(c);
  batch.execution.tape = &batch.tape;
  for (auto _ : state) {
    state.PauseTiming();
    batch.qkv.FreeGrad();
    {
      const Tensor out = SelfAttention(batch.execution, batch.Self());
      out.MakeGrad();
      std::copy_n(out.data(), out.rows() * out.cols(), out.grad());
    }
    state.ResumeTiming();
    batch.tape.BackwardTo(0, batch.execution);
  }
  Report(state, 5 * batch.ProductOperations());
}

// The last `length` tokens of sequences that hold state.range(0) tokens in blocks.
void Append(benchmark::State& state, const Case& c, KvFormat format) {
  const size_t history = static_cast<size_t>(state.range(0));
  Batch batch(c, history - c.length);
  batch.shape.kv_format = format;
  const size_t num_blocks = (history + kBlockTokens - 1) / kBlockTokens;
  const size_t block_bytes = batch.shape.BytesPerBlock();
  // 2^-6 where it is float32, twice about 0.2 where it is float16, four codes or two such scales where it is
  // int8: nothing that slows arithmetic down.
  AlignedBuffer<uint32_t> memory(c.num_sequences * num_blocks * block_bytes / sizeof(uint32_t));
  std::fill_n(memory.data(), memory.size(), format == KvFormat::kFloat32 ? 0x3C800000u : 0x32663266u);
  std::vector<std::byte*> blocks(c.num_sequences * num_blocks);
  for (size_t i = 0; i < blocks.size(); ++i) {
    blocks[i] = reinterpret_cast<std::byte*>(memory.data()) + i * block_bytes;
  }
  std::vector<SequenceKv> kv;
  for (size_t s = 0; s < c.num_sequences; ++s) {
    kv.push_back({.blocks = std::span(blocks).subspan(s * num_blocks, num_blocks), .num_tokens = history});
  }
  const BlockAttentionCall call = batch.Over(kv);
  for (auto _ : state) {
    AppendKv(batch.execution, call);
    benchmark::DoNotOptimize(AttendBlocks(batch.execution, call).data());
  }
  Report(state, 2 * batch.ProductOperations());
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * memory.size() * sizeof(uint32_t)));
}

// One token of each sequence. The bytes per second are those of keys and values: what bounds decoding.
void Decode(benchmark::State& state, const Case& c, KvFormat format) {
  Append(state, c, format);
}

// A chunk of a prompt.
void Prompt(benchmark::State& state, const Case& c, KvFormat format) {
  Append(state, c, format);
}

BENCHMARK_CAPTURE(Forward, nano_8x512, kNano)->UseRealTime();
BENCHMARK_CAPTURE(Backward, nano_8x512, kNano)->UseRealTime();
BENCHMARK_CAPTURE(Forward, small_4x512, kSmall)->UseRealTime();
BENCHMARK_CAPTURE(Backward, small_4x512, kSmall)->UseRealTime();
BENCHMARK_CAPTURE(Forward, long_1x4096, kLong)->UseRealTime();
BENCHMARK_CAPTURE(Backward, long_1x4096, kLong)->UseRealTime();
BENCHMARK_CAPTURE(Forward, documents_256x16, kDocuments)->UseRealTime();
BENCHMARK_CAPTURE(Backward, documents_256x16, kDocuments)->UseRealTime();
BENCHMARK_CAPTURE(Forward, narrow_1x512, kNarrow)->UseRealTime();
BENCHMARK_CAPTURE(Backward, narrow_1x512, kNarrow)->UseRealTime();
constexpr Case kNanoToken = {32, 8, 2, 1, 1}, kSmallTokens = {64, 12, 4, 16, 1},
               k05BToken = {64, 14, 2, 1, 1};
BENCHMARK_CAPTURE(Decode, nano_x1, kNanoToken, KvFormat::kFloat32)
    ->Arg(64)
    ->Arg(512)
    ->Arg(32768)
    ->UseRealTime();
BENCHMARK_CAPTURE(Decode, small_x16, kSmallTokens, KvFormat::kFloat32)->Arg(512)->Arg(8192)->UseRealTime();
BENCHMARK_CAPTURE(Decode, qwen25_0_5b_x1, k05BToken, KvFormat::kFloat32)->Arg(8192)->UseRealTime();
BENCHMARK_CAPTURE(Decode, qwen25_0_5b_x1_float16, k05BToken, KvFormat::kFloat16)->Arg(8192)->UseRealTime();
BENCHMARK_CAPTURE(Decode, qwen25_0_5b_x1_int8, k05BToken, KvFormat::kInt8)->Arg(8192)->UseRealTime();
// As many blocks as all layers have, which come from memory and not from a cache.
constexpr Case k05BLayers = {64, 14, 2, 24, 1}, k05BChunk = {64, 14, 2, 1, 512};
BENCHMARK_CAPTURE(Decode, qwen25_0_5b_x24_float16, k05BLayers, KvFormat::kFloat16)->Arg(8192)->UseRealTime();
BENCHMARK_CAPTURE(Decode, qwen25_0_5b_x24_int8, k05BLayers, KvFormat::kInt8)->Arg(8192)->UseRealTime();
BENCHMARK_CAPTURE(Prompt, qwen25_0_5b_float16, k05BChunk, KvFormat::kFloat16)->Arg(8192)->UseRealTime();
BENCHMARK_CAPTURE(Prompt, qwen25_0_5b_int8, k05BChunk, KvFormat::kInt8)->Arg(8192)->UseRealTime();

}  // namespace
}  // namespace qwen25

int main(int argc, char** argv) {
  qwen25::ApplyForcedIsa();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::AddCustomContext("instruction set", qwen25::CurrentIsa());
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

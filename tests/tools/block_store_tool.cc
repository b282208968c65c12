// What kill_memory.sh and the measurements of docs/benchmarks.md drive; not installed.
//
//   block_store_tool put FOLDER MIB FIRST   puts blocks with the numbers FIRST, FIRST + 1, ... until it is
//                                           killed or fails, and prints each number when its Put has
//                                           returned; reads, erases and compacts in between
//   block_store_tool check FOLDER MIB       for every line on standard input, a number: reads the block and
//                                           compares it with what its number says. Prints how many blocks are
//                                           there of those asked for and in all, and which are missing; fails
//                                           where one is damaged or different. Leaves no uses behind
//   block_store_tool speed FOLDER MIB COUNT LAYER_BYTES
//                                           puts COUNT blocks of 24 layers, 16 at a time, opens the store
//                                           anew, reads them, exports them to FOLDER.safetensors and imports
//                                           that into FOLDER.copy; prints times
//   block_store_tool full FOLDER BLOCKS PUTS
//                                           fills a store with BLOCKS blocks of 20 KiB up to its limit, then
//                                           puts PUTS blocks one by one; prints CPU time and time of these
//
// QWEN25_TEST_KEY may hold a key of 32 bytes. The content of a block follows from its number, so that a check
// needs nothing but numbers. Four namespaces take turns, with sequences of eight blocks.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <iostream>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/rng.h"
#include "memory/block_export.h"
#include "memory/block_id.h"
#include "memory/block_store.h"

namespace qwen25 {
namespace {

constexpr uint64_t kNumNamespaces = 4, kSequenceBlocks = 8;

struct Block {
  Hash128 id, parent;
  uint32_t position = 0;
  std::vector<int32_t> tokens;
  std::vector<std::byte> data;  // all layers, then the summaries
  std::vector<const std::byte*> layers;

  NewBlock AsNew(const BlockFormat& format) const {
    const size_t layer_bytes = size_t{format.num_layers} * format.layer_bytes;
    return {id, parent, position, tokens, layers, std::span(data).subspan(layer_bytes)};
  }
};

constexpr const char* kScratch = "scratch";  // filled and erased again

std::string NamespaceOf(uint64_t number) {
  return "sequence " + std::to_string(number % kNumNamespaces);
}

uint32_t PositionOf(uint64_t number) {
  return static_cast<uint32_t>(number / kNumNamespaces % kSequenceBlocks);
}

std::vector<int32_t> TokensOf(uint64_t number) {
  Rng rng(number, 2);
  std::vector<int32_t> tokens;
  for (size_t i = 0; i < kBlockTokens; ++i) tokens.push_back(static_cast<int32_t>(rng.Below(1 << 17)));
  return tokens;
}

Hash128 IdOf(uint64_t number) {
  if (PositionOf(number) > 0) return BlockIdOf(IdOf(number - kNumNamespaces), TokensOf(number));
  Rng rng(number, 1);
  const uint64_t low = rng.Next();
  return {low, rng.Next()};
}

Block MakeBlock(uint64_t number, const BlockFormat& format) {
  Block block;
  block.id = IdOf(number);
  block.position = PositionOf(number);
  if (block.position > 0) block.parent = IdOf(number - kNumNamespaces);
  block.tokens = TokensOf(number);
  Rng rng(number, 3);
  block.data.resize(size_t{format.num_layers} * (format.layer_bytes + format.summary_bytes));
  for (size_t i = 0; i + 8 <= block.data.size(); i += 8) {
    const uint64_t bits = rng.Next();
    std::memcpy(block.data.data() + i, &bits, sizeof bits);
  }
  for (size_t layer = 0; layer < format.num_layers; ++layer) {
    block.layers.push_back(block.data.data() + layer * format.layer_bytes);
  }
  return block;
}

// Two sizes of slots, so that there are two files.
BlockFormat FormatOf(uint64_t number) {
  const bool is_large = number % kNumNamespaces == 3;
  return {.fingerprint = {5, is_large},
          .num_layers = 4,
          .layer_bytes = is_large ? 4096u : 2048u,
          .summary_bytes = 64};
}

Status ReadAndCompare(BlockStore& store, uint64_t number, const BlockFormat& format) {
  const Block block = MakeBlock(number, format);
  std::vector<std::byte> read(block.data.size());
  std::vector<std::byte*> layers;
  for (size_t layer = 0; layer < format.num_layers; ++layer) {
    layers.push_back(read.data() + layer * format.layer_bytes);
  }
  const size_t layer_bytes = size_t{format.num_layers} * format.layer_bytes;
  QWEN25_RETURN_IF_ERROR(store.Read(NamespaceOf(number), format, block.id, block.tokens, layers,
                                    std::span(read).subspan(layer_bytes)));
  if (read != block.data) return Corrupt("block {} was read with other bytes", number);
  return {};
}

Status PutOne(BlockStore& store, const std::string& name_space, uint64_t number) {
  const BlockFormat format = FormatOf(number);
  const Block block = MakeBlock(number, format);
  const NewBlock as_new = block.AsNew(format);
  return store.Put(name_space, format, {&as_new, 1});
}

Status PutUntilKilled(BlockStore& store, uint64_t first) {
  for (uint64_t number = first;; ++number) {
    QWEN25_RETURN_IF_ERROR(PutOne(store, NamespaceOf(number), number));
    std::printf("%llu\n", static_cast<unsigned long long>(number));
    std::fflush(stdout);
    if (number % 8 == 5) QWEN25_RETURN_IF_ERROR(ReadAndCompare(store, number - 1, FormatOf(number - 1)));
    if (number % 16 == 11) {
      QWEN25_RETURN_IF_ERROR(PutOne(store, kScratch, number));
      QWEN25_RETURN_IF_ERROR(store.Erase(kScratch));
    }
    if (number % 32 == 23) QWEN25_RETURN_IF_ERROR(store.Compact().status());
  }
}

Status Check(BlockStore& store) {
  QWEN25_TRY(const BlockStoreReport report, store.Verify(nullptr));
  if (!report.damaged.empty()) return Corrupt("damaged: {}", report.damaged[0]);
  const BlockStoreStats stats = store.Stats();
  if (stats.used_bytes > stats.max_bytes) {
    return Corrupt("{} bytes are in use of {}", stats.used_bytes, stats.max_bytes);
  }
  uint64_t num_there = 0;
  std::string missing;
  for (std::string line; std::getline(std::cin, line);) {
    const uint64_t number = std::stoull(line);
    const Status status = ReadAndCompare(store, number, FormatOf(number));
    if (status.code() == StatusCode::kNotFound) {
      missing += " " + line;
      continue;
    }
    QWEN25_RETURN_IF_ERROR(status);
    ++num_there;
  }
  uint64_t num_stored = 0;
  for (const auto& name_space : stats.namespaces) {
    if (name_space.name != kScratch) num_stored += name_space.num_blocks;
  }
  std::cout << "there: " << num_there << "\nmissing:" << missing << "\nstored: " << num_stored << std::endl;
  std::_Exit(0);  // what was read here must not count as used
}

Status MeasureExport(const BlockStore& store, const std::string& folder, const BlockStore::Options& options,
                     double megabytes) {
  const std::string file = folder + ".safetensors";
  double start = NowSeconds();
  QWEN25_RETURN_IF_ERROR(ExportBlocks(store, NamespaceOf(0), file, nullptr).status());
  const double export_seconds = NowSeconds() - start;
  QWEN25_TRY(BlockStore copy, BlockStore::Open(folder + ".copy", options));
  start = NowSeconds();
  QWEN25_TRY(const BlockImportReport report, ImportBlocks(copy, file, nullptr));
  const double import_seconds = NowSeconds() - start;
  std::printf("export: %.3f s, %.0f MB/s\nimport: %.3f s, %.0f MB/s, %llu blocks\n", export_seconds,
              megabytes / export_seconds, import_seconds, megabytes / import_seconds,
              static_cast<unsigned long long>(report.num_stored));
  return {};
}

Status MeasureSpeed(const std::string& folder, const BlockStore::Options& options, uint64_t count,
                    uint32_t layer_bytes) {
  const BlockFormat format = {
      .fingerprint = {9, 9}, .num_layers = 24, .layer_bytes = layer_bytes, .summary_bytes = 512};
  constexpr uint64_t kBatch = 16;
  double put_seconds = 0;
  {
    QWEN25_TRY(BlockStore store, BlockStore::Open(folder, options));
    for (uint64_t begin = 0; begin < count; begin += kBatch) {
      std::vector<Block> blocks;
      for (uint64_t i = begin; i < begin + kBatch; ++i)
        blocks.push_back(MakeBlock(i * kNumNamespaces, format));
      std::vector<NewBlock> list;
      for (const Block& block : blocks) list.push_back(block.AsNew(format));
      const double start = NowSeconds();
      QWEN25_RETURN_IF_ERROR(store.Put(NamespaceOf(0), format, list));
      put_seconds += NowSeconds() - start;
    }
  }
  double start = NowSeconds();
  QWEN25_TRY(BlockStore store, BlockStore::Open(folder, options));
  const double open_seconds = NowSeconds() - start;
  double read_seconds = 0;
  for (uint64_t i = 0; i < count; ++i) {
    const Block block = MakeBlock(i * kNumNamespaces, format);
    std::vector<std::byte> read(block.data.size());
    std::vector<std::byte*> layers;
    for (size_t layer = 0; layer < format.num_layers; ++layer)
      layers.push_back(read.data() + layer * layer_bytes);
    start = NowSeconds();
    QWEN25_RETURN_IF_ERROR(store.Read(NamespaceOf(0), format, block.id, block.tokens, layers,
                                      std::span(read).subspan(size_t{24} * layer_bytes)));
    read_seconds += NowSeconds() - start;
  }
  const double megabytes = static_cast<double>(count) * 24 * layer_bytes * 1e-6;
  std::printf(
      "put: %.3f s, %.0f MB/s, %.1f ms for each of %llu batches\nopen: %.4f s for %llu blocks\nread: %.3f s, "
      "%.0f MB/s\n",
      put_seconds, megabytes / put_seconds, 1e3 * put_seconds * kBatch / static_cast<double>(count),
      static_cast<unsigned long long>(count / kBatch), open_seconds,
      static_cast<unsigned long long>(store.Stats().num_blocks), read_seconds, megabytes / read_seconds);
  return MeasureExport(store, folder, options, megabytes);
}

double CpuSeconds() {
  timespec time = {};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// What making room costs a Put. Blocks are small, so that as many as a large store holds fit anywhere.
Status MeasureFull(const std::string& folder, uint64_t num_blocks, uint64_t num_puts) {
  constexpr BlockFormat kFormat = {
      .fingerprint = {9, 8}, .num_layers = 6, .layer_bytes = 2560, .summary_bytes = 64};
  constexpr uint64_t kBatch = 256, kBytesPerBlock = 20480 + 256;  // of slot and index
  QWEN25_TRY(BlockStore store, BlockStore::Open(folder, {.max_bytes = num_blocks * kBytesPerBlock}));
  uint64_t number = 0;
  const auto put = [&](uint64_t count) {
    std::vector<Block> blocks;
    for (uint64_t i = 0; i < count; ++i) blocks.push_back(MakeBlock(number++ * kNumNamespaces, kFormat));
    std::vector<NewBlock> list;
    for (const Block& block : blocks) list.push_back(block.AsNew(kFormat));
    return store.Put(NamespaceOf(0), kFormat, list);
  };
  // Until blocks have gone; then up to the limit again, block by block.
  while (store.Stats().num_blocks == number) QWEN25_RETURN_IF_ERROR(put(std::min(kBatch, num_blocks / 16)));
  uint64_t num_held = store.Stats().num_blocks;
  for (uint64_t expected = 0; num_held >= expected; num_held = store.Stats().num_blocks) {
    expected = num_held + 1;
    QWEN25_RETURN_IF_ERROR(put(1));
  }
  double longest = 0;
  const double start = NowSeconds(), cpu_start = CpuSeconds();
  for (uint64_t i = 0; i < num_puts; ++i) {
    const double begin = CpuSeconds();
    QWEN25_RETURN_IF_ERROR(put(1));
    longest = std::max(longest, CpuSeconds() - begin);
  }
  const auto puts = static_cast<double>(num_puts);
  std::printf("%llu blocks held; a Put of one: %.3f ms of CPU (longest %.1f ms), %.3f ms; %llu blocks left\n",
              static_cast<unsigned long long>(num_held), 1e3 * (CpuSeconds() - cpu_start) / puts,
              1e3 * longest, 1e3 * (NowSeconds() - start) / puts,
              static_cast<unsigned long long>(store.Stats().num_blocks));
  return {};
}

Status Run(const std::vector<std::string>& args) {
  if (args.size() < 3) return InvalidArgument("usage: block_store_tool put|check|speed|full FOLDER [...]");
  if (args[0] == "full" && args.size() == 4) {
    return MeasureFull(args[1], std::stoull(args[2]), std::stoull(args[3]));
  }
  BlockStore::Options options = {.max_bytes = std::stoull(args[2]) << 20};
  if (const char* key = std::getenv("QWEN25_TEST_KEY")) options.key = key;
  if (args[0] == "speed" && args.size() == 5) {
    return MeasureSpeed(args[1], options, std::stoull(args[3]), static_cast<uint32_t>(std::stoul(args[4])));
  }
  QWEN25_TRY(BlockStore store, BlockStore::Open(args[1], options));
  if (args[0] == "put" && args.size() == 4) return PutUntilKilled(store, std::stoull(args[3]));
  if (args[0] == "check") return Check(store);
  return InvalidArgument("unknown command {}", args[0]);
}

}  // namespace
}  // namespace qwen25

int main(int argc, char** argv) {
  const qwen25::Status status = qwen25::Run({argv + 1, argv + argc});
  if (!status.ok()) std::cerr << status.message() << '\n';
  return status.ok() ? 0 : 1;
}

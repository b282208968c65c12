// Blocks with content derived from their number, for tests of block stores.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/rng.h"
#include "base/test_util.h"
#include "memory/block_store.h"

namespace qwen25 {

// A slot of two pages.
inline constexpr BlockFormat kTestFormat = {
    .fingerprint = {11, 22}, .num_layers = 3, .layer_bytes = 1024, .summary_bytes = 64};

// Everything that a block holds.
struct TestBlock {
  Hash128 id, parent;
  uint32_t position = 0;
  std::vector<int32_t> tokens;
  std::vector<std::vector<std::byte>> layers;
  std::vector<std::byte> summaries;
};

inline std::vector<std::byte> RandomBytes(Rng& rng, size_t count) {
  std::vector<std::byte> bytes(count);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(rng.Next());
  return bytes;
}

// `number` >= 1. Without a parent, the first block of a sequence.
inline TestBlock MakeBlock(uint64_t number, const TestBlock* parent = nullptr,
                           const BlockFormat& format = kTestFormat) {
  Rng rng(number, 7);
  TestBlock block;
  block.id = {rng.Next(), rng.Next()};
  if (parent != nullptr) {
    block.parent = parent->id;
    block.position = parent->position + 1;
  }
  for (int i = 0; i < 64; ++i) block.tokens.push_back(static_cast<int32_t>(rng.Below(151936)));
  for (uint32_t layer = 0; layer < format.num_layers; ++layer) {
    block.layers.push_back(RandomBytes(rng, format.layer_bytes));
  }
  block.summaries = RandomBytes(rng, size_t{format.num_layers} * format.summary_bytes);
  return block;
}

inline Status PutBlocks(BlockStore& store, std::string_view name_space, const std::vector<TestBlock>& blocks,
                        const BlockFormat& format = kTestFormat) {
  std::vector<std::vector<const std::byte*>> layers(blocks.size());
  std::vector<NewBlock> list;
  for (size_t i = 0; i < blocks.size(); ++i) {
    const TestBlock& block = blocks[i];
    for (const auto& layer : block.layers) layers[i].push_back(layer.data());
    list.push_back({block.id, block.parent, block.position, block.tokens, layers[i], block.summaries});
  }
  return store.Put(name_space, format, list);
}

// OK if the block reads back as it was written.
inline Status ReadAndCompare(BlockStore& store, std::string_view name_space, const TestBlock& block,
                             const BlockFormat& format = kTestFormat) {
  std::vector<std::vector<std::byte>> layers(format.num_layers, std::vector<std::byte>(format.layer_bytes));
  std::vector<std::byte*> pointers;
  for (auto& layer : layers) pointers.push_back(layer.data());
  std::vector<std::byte> summaries(block.summaries.size());
  QWEN25_RETURN_IF_ERROR(store.Read(name_space, format, block.id, block.tokens, pointers, summaries));
  if (layers != block.layers || summaries != block.summaries) return InvalidArgument("read other bytes");
  return {};
}

inline BlockStore MustOpen(const std::filesystem::path& folder, const BlockStore::Options& options = {}) {
  auto store = BlockStore::Open(folder, options);
  EXPECT_TRUE(store.ok()) << MessageOf(store);
  return std::move(store).value();
}

// Whether any file of a folder holds these bytes.
inline bool AnyFileHolds(const std::filesystem::path& folder, std::span<const std::byte> bytes) {
  const std::string_view wanted(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const auto content = ReadFile(entry.path());
    if (content.ok() && content->find(wanted) != std::string::npos) return true;
  }
  return false;
}

}  // namespace qwen25

#include "infer/put_blocks.h"

#include <vector>

#include "memory/block_summaries.h"

namespace qwen25 {

Status PutBlocks(InferenceEngine& engine, std::string_view name_space, std::span<const BlockToPut> blocks) {
  const BlockFormat& format = engine.block_format();
  std::vector<const std::byte*> layers(blocks.size() * format.num_layers);
  for (size_t i = 0; i < layers.size(); ++i) {
    layers[i] = engine.blocks().Data(blocks[i / format.num_layers].block, i % format.num_layers);
  }
  std::vector<std::byte> summaries(layers.size() * format.summary_bytes);
  SummarizeLayers(engine.execution().threads, engine.block_shape(), layers, summaries);
  const size_t block_summaries = size_t{format.num_layers} * format.summary_bytes;
  std::vector<NewBlock> new_blocks;
  for (size_t i = 0; i < blocks.size(); ++i) {
    new_blocks.push_back({.id = blocks[i].id,
                          .parent = blocks[i].parent,
                          .position = blocks[i].position,
                          .tokens = blocks[i].tokens,
                          .layers = std::span(layers).subspan(i * format.num_layers, format.num_layers),
                          .summaries = std::span(summaries).subspan(i * block_summaries, block_summaries)});
  }
  return engine.store()->Put(name_space, format, new_blocks);
}

}  // namespace qwen25

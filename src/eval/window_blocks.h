// KV blocks and their summaries for a window of text, laid out as in a session.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "base/status.h"
#include "memory/block_list.h"
#include "memory/block_pool.h"
#include "model/model.h"
#include "ops/attention/sequence_kv.h"

namespace qwen25 {

class WindowBlocks {
 public:
  // For windows of up to `max_tokens` tokens.
  WindowBlocks(const Model& model, KvFormat format, size_t max_tokens);

  // [layers] The blocks for a window of `num_tokens` tokens, which overwrites the window before. Valid until
  // the next call. Errors of the pools.
  Result<std::span<const SequenceKv>> Kv(size_t num_tokens);

 private:
  size_t num_blocks_, num_panels_;
  BlockPool block_pool_, panel_pool_;
  BlockList blocks_, panels_;
  std::vector<SequenceKv> kv_;
};

}  // namespace qwen25

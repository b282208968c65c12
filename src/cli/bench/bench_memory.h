// qwen25 bench memory: the persistent store of KV blocks when it is full, and a dialogue that goes on beside
// one that is computed again.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "ops/attention/kv_format.h"

namespace qwen25 {

struct MemoryBenchFlags {
  std::string preset = "0.5b";  // shape, with random weights
  std::string weights = "int8";
  KvFormat kv = KvFormat::kFloat16;
  std::string folder;                   // of the store; empty: one that goes away
  double store_gib = 16;                // 0: no store is filled
  std::vector<uint64_t> recall_blocks;  // how many of them a session sees; empty: all
  uint32_t queries = 1000, num_threads = 0;
  uint32_t history = 8192;  // tokens of the dialogue; 0: none
  bool json = false;
};

Status RunMemoryBench(const MemoryBenchFlags& flags);

}  // namespace qwen25

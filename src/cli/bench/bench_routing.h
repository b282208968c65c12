// qwen25 bench routing: generation and prompts with routed attention beside dense attention, by depth and
// number of sequences.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "ops/attention/kv_format.h"

namespace qwen25 {

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

Status RunRoutingBench(const RoutingBenchFlags& flags);

}  // namespace qwen25

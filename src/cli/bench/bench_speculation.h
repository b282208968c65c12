// qwen25 bench speculation: generation with and without prompt lookup, in turn, and what verifying costs.
#pragma once

#include <cstdint>
#include <string>

#include "base/status.h"
#include "ops/attention/kv_format.h"

namespace qwen25 {

struct SpeculationBenchFlags {
  std::string preset = "0.5b";  // shape, with random weights; or
  std::string model;            // a model folder or file
  std::string weights = "int8";
  KvFormat kv = KvFormat::kFloat16;
  std::string tokenizer;  // where it is not the model's
  std::string prompt_file, answer_file;
  uint32_t new_tokens = 512, draft_tokens = 16, rounds = 3, num_threads = 0;
  bool json = false;
};

Status RunSpeculationBench(const SpeculationBenchFlags& flags);

}  // namespace qwen25

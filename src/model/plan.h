// Plans a model before anything runs: parameters, operations, memory, and a layout over devices.
#pragma once

#include <cstdint>
#include <string>

#include "base/status.h"
#include "model/config.h"

namespace qwen25 {

struct PlanOptions {
  uint32_t num_devices = 1;
  uint64_t device_memory_bytes = uint64_t{80} << 30;
  uint32_t devices_per_node = 8;    // limits tensor parallelism, which communicates within every layer
  uint32_t sequence_length = 4096;  // tokens of one training sequence
  uint32_t micro_batch_sequences = 1;
  uint32_t num_streams = 16;       // inference: conversations at once
  uint32_t context_tokens = 8192;  // inference: tokens per conversation

  // kInvalidArgument names an option that is 0.
  Status Validate() const;
};

// How a training step is divided: every weight matrix over `tensor` devices, the layers into `pipeline`
// stages, and the optimizer state over `data` replicas (ZeRO stage 1, arXiv:1910.02054).
struct ParallelLayout {
  uint32_t tensor = 1;
  uint32_t pipeline = 1;
  uint32_t data = 1;
  // Bytes on the fullest device: bfloat16 weights; float32 gradients; float32 master weights and two Adam
  // moments, divided by `data`; activations of the micro-batches in flight, with recomputation of layers.
  uint64_t weight_bytes = 0;
  uint64_t gradient_bytes = 0;
  uint64_t optimizer_bytes = 0;
  uint64_t activation_bytes = 0;
  uint64_t TotalBytes() const { return weight_bytes + gradient_bytes + optimizer_bytes + activation_bytes; }
};

// The layout that fits with the fewest devices per replica, and so the least communication.
// kResourceExhausted says how much memory the smallest layout needs, and how much is usable.
Result<ParallelLayout> PlanLayout(const ModelConfig& config, const PlanOptions& options);

// The whole plan as text, for `qwen25 plan`.
std::string PlanReport(std::string_view name, const ModelConfig& config, const PlanOptions& options);

}  // namespace qwen25

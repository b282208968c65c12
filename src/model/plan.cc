#include "model/plan.h"

#include <cmath>

#include "base/format.h"

namespace qwen25 {
namespace {

constexpr uint64_t kWeightBytes = 2;             // bfloat16
constexpr uint64_t kGradientBytes = 4;           // float32
constexpr uint64_t kOptimizerBytes = 4 + 4 + 4;  // master weight, first and second moment
// The share of a device's memory that a plan may use; the rest is for the framework, communication buffers
// and fragmentation.
constexpr double kUsableShare = 0.9;

uint64_t CeilDiv(uint64_t a, uint64_t b) {
  return (a + b - 1) / b;
}

// Parameters on the fullest device: the layers of one stage, plus embedding, output projection or both.
uint64_t ParametersPerDevice(const ModelConfig& config, uint32_t tensor, uint32_t pipeline) {
  const uint64_t per_layer = config.NumNonEmbeddingParameters() / config.num_hidden_layers;
  const uint64_t embedding = uint64_t{config.vocab_size} * config.hidden_size;
  const uint64_t ends = pipeline == 1 && !config.tie_word_embeddings ? 2 * embedding : embedding;
  return CeilDiv(CeilDiv(config.num_hidden_layers, pipeline) * per_layer + ends, tensor);
}

// Bytes of activations: each stage keeps the inputs of its layers (bfloat16) for all micro-batches in flight
// there, `pipeline` at the first stage of a one-forward-one-backward schedule, and the insides of one layer.
uint64_t ActivationBytes(const ModelConfig& config, const PlanOptions& options, uint32_t tensor,
                         uint32_t pipeline) {
  const uint64_t tokens = uint64_t{options.sequence_length} * options.micro_batch_sequences;
  const uint64_t kept = CeilDiv(config.num_hidden_layers, pipeline) * config.hidden_size * 2 * pipeline;
  const uint64_t inside =
      2 * (4 * uint64_t{config.hidden_size} + 2 * config.QkvDim() + 4 * uint64_t{config.intermediate_size});
  return tokens * CeilDiv(kept + inside, tensor);
}

ParallelLayout MakeLayout(const ModelConfig& config, const PlanOptions& options, uint32_t tensor,
                          uint32_t pipeline) {
  ParallelLayout layout = {
      .tensor = tensor, .pipeline = pipeline, .data = options.num_devices / (tensor * pipeline)};
  const uint64_t parameters = ParametersPerDevice(config, tensor, pipeline);
  layout.weight_bytes = parameters * kWeightBytes;
  layout.gradient_bytes = parameters * kGradientBytes;
  layout.optimizer_bytes = CeilDiv(parameters * kOptimizerBytes, layout.data);
  layout.activation_bytes = ActivationBytes(config, options, tensor, pipeline);
  return layout;
}

}  // namespace

Status PlanOptions::Validate() const {
  const auto positive = [](const char* name, uint64_t value) -> Status {
    if (value >= 1) return {};
    return InvalidArgument("{} is 0, expected at least 1", name);
  };
  QWEN25_RETURN_IF_ERROR(positive("devices", num_devices));
  QWEN25_RETURN_IF_ERROR(positive("device memory", device_memory_bytes));
  QWEN25_RETURN_IF_ERROR(positive("devices per node", devices_per_node));
  QWEN25_RETURN_IF_ERROR(positive("sequence length", sequence_length));
  QWEN25_RETURN_IF_ERROR(positive("micro-batch", micro_batch_sequences));
  QWEN25_RETURN_IF_ERROR(positive("streams", num_streams));
  return positive("context", context_tokens);
}

Result<ParallelLayout> PlanLayout(const ModelConfig& config, const PlanOptions& options) {
  QWEN25_RETURN_IF_ERROR(options.Validate());
  const double usable = kUsableShare * static_cast<double>(options.device_memory_bytes);
  const ParallelLayout* none = nullptr;
  ParallelLayout best, smallest;
  bool found = false;
  for (uint32_t tensor = 1; tensor <= options.devices_per_node && tensor <= options.num_devices;
       tensor *= 2) {
    // Attention is divided by whole kv heads and query heads.
    if (config.num_attention_heads % tensor != 0 || config.num_key_value_heads % tensor != 0) break;
    for (uint32_t pipeline = 1; pipeline <= config.num_hidden_layers; ++pipeline) {
      if (config.num_hidden_layers % pipeline != 0 || options.num_devices % (tensor * pipeline) != 0)
        continue;
      const ParallelLayout layout = MakeLayout(config, options, tensor, pipeline);
      if (none == nullptr || layout.TotalBytes() < smallest.TotalBytes()) smallest = layout;
      none = &smallest;
      if (static_cast<double>(layout.TotalBytes()) > usable) continue;
      const uint32_t cut = tensor * pipeline, best_cut = best.tensor * best.pipeline;
      // At equal cuts, fewer stages: a pipeline idles while it fills and drains.
      if (!found || cut < best_cut || (cut == best_cut && pipeline < best.pipeline)) best = layout;
      found = true;
    }
  }
  if (found) return best;
  return ResourceExhausted(
      "no layout over {} devices of {} fits: the smallest (tensor {}, pipeline {}) needs {} per device, and "
      "{} are usable; use more devices or more memory",
      options.num_devices, FormatBytes(static_cast<double>(options.device_memory_bytes)), smallest.tensor,
      smallest.pipeline, FormatBytes(static_cast<double>(smallest.TotalBytes())), FormatBytes(usable));
}

std::string PlanReport(std::string_view name, const ModelConfig& config, const PlanOptions& options) {
  std::string text;
  const auto line = [&](std::string_view label, const std::string& value) {
    text += fmt::format("  {:<38}{}\n", label, value);
  };
  const auto parameters = static_cast<double>(config.NumParameters());
  text += fmt::format(
      "{}: {} layers x {} heads ({} kv), head dim {}, hidden {}, feed-forward {}, vocabulary {}\n", name,
      config.num_hidden_layers, config.num_attention_heads, config.num_key_value_heads, config.head_dim,
      config.hidden_size, config.intermediate_size, config.vocab_size);
  text += "\nsize\n";
  line("parameters", FormatCount(parameters));
  line("without embeddings", FormatCount(static_cast<double>(config.NumNonEmbeddingParameters())));
  for (const auto& [dtype, bits] :
       std::array<std::pair<const char*, double>, 4>{{{"float32", 32},
                                                      {"bfloat16 / float16", 16},
                                                      {"8-bit (34 bytes per 32)", 8.5},
                                                      {"4-bit (18 bytes per 32)", 4.5}}}) {
    line(fmt::format("weights in {}", dtype), FormatBytes(parameters * bits / 8));
  }
  text += "\none token\n";
  const double context = options.sequence_length / 2.0;
  line("forward", FormatCount(config.ForwardFlopsPerToken(context)) + "FLOP at mean context " +
                      fmt::format("{}", options.sequence_length / 2));
  line("training (forward + backward)", FormatCount(3 * config.ForwardFlopsPerToken(context)) + "FLOP");
  line("keys and values, float16",
       FormatBytes(static_cast<double>(config.KvBytesPerToken(KvFormat::kFloat16))));
  line("keys and values, int8", FormatBytes(static_cast<double>(config.KvBytesPerToken(KvFormat::kInt8))));

  text += fmt::format("\ninference, {} streams of {} tokens\n", options.num_streams, options.context_tokens);
  const double kv = static_cast<double>(config.KvBytesPerToken(KvFormat::kFloat16)) * options.num_streams *
                    options.context_tokens;
  line("keys and values, float16", FormatBytes(kv));
  line("with 8-bit weights", FormatBytes(kv + parameters * 8.5 / 8));
  line("with 4-bit weights", FormatBytes(kv + parameters * 4.5 / 8));

  text += fmt::format("\ntraining, AdamW, sequences of {}\n", options.sequence_length);
  line("weights, gradients, optimizer",
       FormatBytes(parameters * static_cast<double>(kWeightBytes + kGradientBytes + kOptimizerBytes)) +
           " (bfloat16 weights, float32 gradients, master weights and moments)");
  line("the same in float32 (this program)", FormatBytes(parameters * 16));
  text += fmt::format("\nlayout over {} device{} of {}\n", options.num_devices,
                      options.num_devices == 1 ? "" : "s",
                      FormatBytes(static_cast<double>(options.device_memory_bytes)));
  const Result<ParallelLayout> layout = PlanLayout(config, options);
  if (!layout.ok()) {
    text += "  " + layout.status().message() + "\n";
    return text;
  }
  line("tensor x pipeline x data",
       fmt::format("{} x {} x {}", layout->tensor, layout->pipeline, layout->data));
  line("layers per stage", fmt::format("{}", config.num_hidden_layers / layout->pipeline));
  line("weights per device", FormatBytes(static_cast<double>(layout->weight_bytes)));
  line("gradients per device", FormatBytes(static_cast<double>(layout->gradient_bytes)));
  line("optimizer per device", FormatBytes(static_cast<double>(layout->optimizer_bytes)));
  line("activations per device", FormatBytes(static_cast<double>(layout->activation_bytes)));
  line("in total", fmt::format("{} of {}", FormatBytes(static_cast<double>(layout->TotalBytes())),
                               FormatBytes(static_cast<double>(options.device_memory_bytes))));
  return text;
}

}  // namespace qwen25

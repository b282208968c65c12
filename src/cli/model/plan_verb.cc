#include "base/file.h"
#include "base/format.h"
#include "cli/verb.h"
#include "model/gguf_model.h"
#include "model/plan.h"
#include "pretrained/hub/resolve_model.h"

namespace qwen25 {
namespace {

struct PlanFlags {
  std::string model;
  std::string device_memory = "80GiB";
  PlanOptions options;
};

Status RunPlan(PlanFlags& flags) {
  QWEN25_TRY(flags.options.device_memory_bytes, ParseByteCount(flags.device_memory));
  QWEN25_RETURN_IF_ERROR(flags.options.Validate());
  Result<ModelConfig> config = FindPreset(flags.model);
  const Result<std::filesystem::path> found = ResolveModel(flags.model);
  if (!config.ok() && found.ok() && IsGgufPath(*found)) {
    QWEN25_TRY(const GgufFiles files, GgufFiles::Open(*found));
    config = ModelConfigFromGguf(files, flags.model);
  } else if (!config.ok() && found.ok() && std::filesystem::exists(*found)) {
    config = ModelConfig::Load(std::filesystem::is_directory(*found) ? *found / "config.json" : *found);
  }
  if (!config.ok()) return config.status();
  fmt::print("{}", PlanReport(flags.model, *config, flags.options));
  return {};
}

}  // namespace

void AddPlanVerb(CLI::App& app, RunVerb& run) {
  const auto [verb, flags] =
      AddVerb(app, run, "plan",
              "What a model costs before anything runs: parameters, operations, memory, layout", RunPlan);
  std::string presets;
  for (const Preset& preset : Presets())
    presets += fmt::format("\n  {:<14}{}", preset.name, preset.description);
  verb->add_option("model", flags->model,
                   "A preset, a config.json, or a model: its folder, .gguf file or name")
      ->required();
  verb->add_option("--devices", flags->options.num_devices, "Devices to lay the training out over")
      ->capture_default_str();
  verb->add_option("--device-memory", flags->device_memory, "Memory of each")->capture_default_str();
  verb->add_option("--devices-per-node", flags->options.devices_per_node,
                   "Devices with a fast link between them")
      ->capture_default_str();
  verb->add_option("--sequence-length", flags->options.sequence_length, "Training: tokens of a sequence")
      ->capture_default_str();
  verb->add_option("--micro-batch", flags->options.micro_batch_sequences,
                   "Training: sequences at a time per replica")
      ->capture_default_str();
  verb->add_option("--streams", flags->options.num_streams, "Inference: conversations at once")
      ->capture_default_str();
  verb->add_option("--context", flags->options.context_tokens, "Inference: tokens of each")
      ->capture_default_str();
  verb->footer("Presets:" + presets +
               "\n\nExample:\n  qwen25 plan flagship --devices 1024 --device-memory 141GiB");
}

}  // namespace qwen25

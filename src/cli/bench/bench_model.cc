#include "cli/bench/bench_model.h"

#include <algorithm>
#include <cmath>

#include "base/clock.h"
#include "base/hash.h"
#include "base/rng.h"
#include "kernels/elementwise.h"
#include "pretrained/hub/resolve_model.h"

namespace qwen25 {
namespace {

// Random weights of the size that training gives them; the same for every format.
Status RandomRows(const NamedParameter& named, size_t begin, size_t end, float* out) {
  if (named.kind == ParameterKind::kVector) {
    std::fill_n(out, named.parameter.cols, named.name.ends_with("norm.weight") ? 1.0f : 0.0f);
    return {};
  }
  const uint64_t seed = Hash64(std::as_bytes(std::span(named.name)));
  for (size_t row = begin; row < end; ++row) {
    Rng rng(seed, row);
    for (size_t i = 0; i < named.parameter.cols; i += 2, out += 2) {
      // Uniform with a deviation of 0.02, two numbers from one draw.
      const uint64_t bits = rng.Next();
      const auto number = [](uint64_t half) {
        return (static_cast<float>(half & 0xffffff) / 8388608.0f - 1) * 0.0346f;
      };
      out[0] = number(bits);
      if (i + 1 < named.parameter.cols) out[1] = number(bits >> 32);
    }
    if (named.parameter.cols % 2 == 1) --out;
  }
  return {};
}

}  // namespace

Result<Model> BenchModel(const std::string& preset, const std::string& model_name, WeightFormat format,
                         size_t num_threads, size_t min_context) {
  ThreadPool threads(num_threads == 0 ? DefaultNumThreads() : num_threads);
  if (!model_name.empty()) {
    QWEN25_TRY(const std::filesystem::path path, ResolveModel(model_name));
    return Model::LoadPacked(path, format, threads);
  }
  QWEN25_TRY(ModelConfig config, FindPreset(preset));
  if (config.MaxContext() < min_context) {
    const uint32_t trained = config.max_position_embeddings;
    config.rope_scaling =
        RopeScaling{.type = "yarn",
                    .factor = std::ceil(static_cast<double>(min_context) / static_cast<double>(trained)),
                    .original_max_position_embeddings = trained};
    QWEN25_RETURN_IF_ERROR(config.Validate(preset));
  }
  return Model::Pack(config, format, threads, RandomRows);
}

std::vector<int32_t> RandomTokens(const ModelConfig& config, size_t count, uint64_t seed) {
  std::vector<int32_t> tokens(count);
  Rng rng(seed);
  for (int32_t& token : tokens) token = static_cast<int32_t>(rng.Below(config.vocab_size));
  return tokens;
}

Status ReturnTo(std::span<const std::unique_ptr<Session>> sessions, size_t num_tokens) {
  constexpr int32_t kAnyToken = 1;
  for (const auto& session : sessions) {
    session->Truncate(num_tokens - 1);
    QWEN25_RETURN_IF_ERROR(session->Append({&kAnyToken, 1}));
  }
  return {};
}

Result<double> DecodeSeconds(InferenceEngine& engine, std::span<const std::unique_ptr<Session>> sessions,
                             size_t num_steps) {
  std::vector<int32_t> drawn(sessions.size());
  std::vector<SessionTokens> parts(sessions.size());
  const double start = NowSeconds();
  for (size_t step = 0; step < num_steps; ++step) {
    for (size_t i = 0; i < sessions.size(); ++i) {
      const std::span<float> logits = sessions[i]->logits();
      drawn[i] = static_cast<int32_t>(ArgMax(logits.data(), logits.size()));
      parts[i] = {sessions[i].get(), {&drawn[i], 1}};
    }
    QWEN25_RETURN_IF_ERROR(AppendTogether(engine, parts));
  }
  return (NowSeconds() - start) / static_cast<double>(num_steps);
}

}  // namespace qwen25

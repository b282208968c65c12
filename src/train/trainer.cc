#include "train/trainer.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/clock.h"
#include "base/file.h"
#include "model/open_weights.h"
#include "train/gemm_probe.h"

namespace qwen25 {
namespace {

namespace fs = std::filesystem;

Result<ModelConfig> ResolveConfig(const TrainOptions& options) {
  ModelConfig config;
  if (!options.initial.empty()) {
    QWEN25_TRY(const std::unique_ptr<WeightsReader> source, OpenWeights(options.initial));
    config = source->config();
  } else if (!options.config.empty()) {
    QWEN25_TRY(config, ModelConfig::Load(options.config));
  } else {
    QWEN25_TRY(config, FindPreset(options.preset));
  }
  if (options.vocab_size > 0 && options.vocab_size != config.vocab_size) {
    if (!options.initial.empty()) {
      return InvalidArgument("model.vocab_size is {}, but the weights in {} have {} rows", options.vocab_size,
                             options.initial, config.vocab_size);
    }
    config.vocab_size = options.vocab_size;
  }
  if (options.eos_token_id >= 0) config.eos_token_ids = {static_cast<int32_t>(options.eos_token_id)};
  if (!options.routing.empty()) {
    QWEN25_TRY(config.routing, RoutingPolicy::Parse(options.routing));
  }
  QWEN25_RETURN_IF_ERROR(config.Validate("model options"));
  if (options.sequence_length > config.MaxContext()) {
    return InvalidArgument(
        "batch.sequence_length is {}, expected at most the model's {} positions (max_position_embeddings, "
        "stretched by rope_scaling)",
        options.sequence_length, config.MaxContext());
  }
  return config;
}

}  // namespace

Trainer::Trainer(const TrainOptions& options, TrainData data, Model model, ThreadPool& threads)
    : options_(options),
      data_(std::move(data)),
      model_(std::move(model)),
      gradients_(model_.parameter_set()),
      optimizer_(model_.parameter_set(), gradients_, options.optimizer, threads),
      checkpoints_(options.output),
      plan_(options.max_steps, options.max_tokens, options.max_minutes, options.tokens_per_step),
      workspace_(threads),
      objective_(MakeObjective(options_, model_)),
      step_(options_, model_, *objective_, gradients_, workspace_),
      validation_(options_, model_, *objective_, workspace_) {}

Result<std::unique_ptr<Trainer>> Trainer::Create(const TrainOptions& options, TrainData data,
                                                 ThreadPool& threads) {
  QWEN25_RETURN_IF_ERROR(options.Validate());
  QWEN25_CHECK(data.train != nullptr);
  // An existing folder is locked before anything in it is read. A new one is created only after all checks.
  std::optional<FolderLock> lock;
  if (std::error_code ignored; fs::is_directory(options.output, ignored)) {
    QWEN25_TRY(lock, FolderLock::Acquire(options.output));
  }
  const CheckpointStore checkpoints(options.output);
  if (lock) QWEN25_RETURN_IF_ERROR(checkpoints.RemoveLeftovers());
  QWEN25_TRY(const std::optional<fs::path> latest, checkpoints.Latest());
  if (latest && !options.resume) {
    return InvalidArgument(
        "{} holds {} of an earlier run: resume it (run with --resume), or choose another folder",
        options.output, latest->filename().string());
  }
  QWEN25_TRY(const ModelConfig config, ResolveConfig(options));
  std::optional<Model> model;
  TrainerState state;
  if (latest) {
    QWEN25_TRY(state, ReadTrainerState(*latest));  // first, since it checks every file against its hash
    QWEN25_RETURN_IF_ERROR(CheckSameModel(*latest, config));
    QWEN25_TRY(model, Model::Load(*latest));
  } else if (!options.initial.empty()) {
    QWEN25_TRY(model, Model::Load(options.initial));
  } else {
    model.emplace(config);
    model->Initialize(options.seed);
  }
  // The options may replace these settings of a loaded model.
  model->SetRouting(config.routing);
  model->SetEosTokenIds(config.eos_token_ids);
  std::unique_ptr<Trainer> trainer(new Trainer(options, std::move(data), std::move(*model), threads));
  if (!lock) {
    QWEN25_RETURN_IF_ERROR(CreateDirectories(options.output));
    QWEN25_TRY(lock, FolderLock::Acquire(options.output));
  }
  trainer->lock_.emplace(std::move(*lock));
  if (latest) QWEN25_RETURN_IF_ERROR(trainer->Resume(*latest, std::move(state)));
  QWEN25_TRY(MetricsWriter metrics, MetricsWriter::Open(options.output, trainer->state_.step));
  trainer->metrics_.emplace(std::move(metrics));
  QWEN25_RETURN_IF_ERROR(
      WriteFileAtomically(fs::path(options.output) / "recipe.toml", FormatRecipe(options)));
  if (options.measure_peak) trainer->peak_flops_ = MeasureGemmFlops(threads);
  return trainer;
}

Status Trainer::Resume(const fs::path& checkpoint, TrainerState state) {
  state_ = std::move(state);
  if (Status status = CheckSameRun(state_.options, options_); !status.ok()) {
    return InvalidArgument("{}: {}", checkpoint.string(), status.message());
  }
  QWEN25_RETURN_IF_ERROR(ReadOptimizerState(checkpoint, optimizer_));
  if (optimizer_.num_steps() != state_.step) {
    return Corrupt("{}: optimizer.safetensors is of step {}, but trainer_state.json of step {}",
                   checkpoint.string(), optimizer_.num_steps(), state_.step);
  }
  if (Status status = data_.train->Restore(state_.loader); !status.ok()) {
    return Status(status.code(), fmt::format("{}: {}", checkpoint.string(), status.message()));
  }
  if (data_.validation != nullptr && !state_.validation.is_null()) {
    if (Status status = data_.validation->Restore(state_.validation); !status.ok()) {
      return Status(status.code(),
                    fmt::format("{}: the validation data: {}", checkpoint.string(), status.message()));
    }
  }
  QWEN25_RETURN_IF_ERROR(CheckSameTokenizer(checkpoint, data_.tokenizer_files));
  plan_.Restore(state_.step, state_.planned_steps, state_.plan_revision);
  seconds_before_session_ = state_.seconds;
  saved_step_ = state_.step;
  return {};
}

size_t Trainer::state_bytes() const {
  return model_.weights().size_bytes() + gradients_.values().size_bytes() + optimizer_.state_bytes();
}

Result<StepMetrics> Trainer::Step() {
  const double start = NowSeconds();
  if (session_start_ == 0) session_start_ = start;
  QWEN25_RETURN_IF_ERROR(step_.Load(*data_.train));
  QWEN25_TRY(const double loss, step_.Backward(state_.step));
  const double gradient_norm = optimizer_.GradientNorm();
  if (!std::isfinite(loss) || !std::isfinite(gradient_norm)) {
    return InvalidArgument(
        "step {}: the loss is {} and the gradient norm {}, so training has diverged{}; the newest "
        "checkpoint is of step {}. Lower optimizer.learning_rate, lengthen schedule.warmup_steps, or clip "
        "harder",
        state_.step + 1, std::abs(loss), gradient_norm,
        DescribeNotFinite(model_.parameter_set(), &gradients_), saved_step_.value_or(0));
  }
  // Until the number of steps is known, the schedule stays at its beginning.
  const uint64_t total = plan_.total_steps() > 0 ? plan_.total_steps() : std::numeric_limits<uint64_t>::max();
  const double factor = ScheduleFactor(options_.schedule, state_.step, total);
  optimizer_.Step(factor, gradient_norm);

  const double end = NowSeconds();
  const uint64_t num_tokens = step_.num_tokens();
  ++state_.step;
  state_.tokens += num_tokens;
  state_.seconds = seconds_before_session_ + (end - session_start_);
  plan_.Observe(state_.step, state_.seconds);
  return StepMetrics{.step = state_.step,
                     .tokens = state_.tokens,
                     .loss = loss,
                     .learning_rate = options_.optimizer.learning_rate * factor,
                     .gradient_norm = gradient_norm,
                     .tokens_per_second = static_cast<double>(num_tokens) / (end - start),
                     .flop_utilization = peak_flops_ > 0 ? step_.flops() / (end - start) / peak_flops_ : 0,
                     .seconds = state_.seconds};
}

Result<ValidationMetrics> Trainer::Validate() {
  if (data_.validation == nullptr) return InvalidArgument("there is no validation data: set data.validation");
  QWEN25_TRY(ValidationMetrics metrics, validation_.Run(*data_.validation, data_.token_bytes, state_.step));
  metrics.tokens = state_.tokens;
  if (metrics.loss < state_.best_validation_loss) {
    state_.best_validation_loss = metrics.loss;
    state_.best_validation_step = state_.step;
  }
  return metrics;
}

Status Trainer::CheckFinite() const {
  std::string what = DescribeNotFinite(model_.parameter_set(), nullptr);
  for (const OptimizerTensor& tensor : optimizer_.state()) {
    if (!what.empty()) break;
    if (!std::ranges::all_of(tensor.values, [](float value) { return std::isfinite(value); })) {
      what = fmt::format("; the optimiser's {} holds a number that is not finite", tensor.name);
    }
  }
  if (what.empty()) return {};
  return InvalidArgument(
      "step {}: training has diverged{}; nothing was written, and the newest checkpoint is of step {}. Lower "
      "optimizer.learning_rate, lengthen schedule.warmup_steps, or clip harder",
      state_.step, what, saved_step_.value_or(0));
}

Status Trainer::SaveCheckpoint() {
  if (saved_step_ == state_.step) return {};
  QWEN25_RETURN_IF_ERROR(CheckFinite());
  QWEN25_RETURN_IF_ERROR(metrics_->Sync());
  state_.planned_steps = plan_.total_steps();
  state_.plan_revision = plan_.revision();
  state_.loader = data_.train->State();
  // Without validation data, the state of an earlier process is kept.
  if (data_.validation != nullptr) state_.validation = data_.validation->State();
  state_.options = ResultOptions(options_);
  QWEN25_RETURN_IF_ERROR(
      checkpoints_.Save(model_, optimizer_, state_, data_.tokenizer_files, options_.keep_checkpoints));
  saved_step_ = state_.step;
  return {};
}

Status Trainer::SaveFinalModel(const fs::path& folder) const {
  QWEN25_RETURN_IF_ERROR(CreateDirectories(folder));
  for (const fs::path& file : data_.tokenizer_files) {
    QWEN25_TRY(const std::string content, ReadFile(file));
    QWEN25_RETURN_IF_ERROR(WriteFileAtomically(folder / file.filename(), content));
  }
  return model_.Save(folder);
}

Result<ValidationMetrics> Trainer::ValidateAndReport(const TrainCallbacks& callbacks) {
  QWEN25_TRY(const ValidationMetrics metrics, Validate());
  QWEN25_RETURN_IF_ERROR(metrics_->Append(metrics));
  if (callbacks.on_validation) callbacks.on_validation(metrics);
  return metrics;
}

Result<TrainSummary> Trainer::Run(const TrainCallbacks& callbacks) {
  TrainSummary summary;
  session_start_ = NowSeconds();
  seconds_before_session_ = state_.seconds;
  const auto every = [&](uint64_t interval) { return interval > 0 && state_.step % interval == 0; };
  while (!plan_.Done(state_.step, state_.seconds)) {
    if (callbacks.stop != nullptr && callbacks.stop->load()) {
      summary.stopped = true;
      break;
    }
    QWEN25_TRY(const StepMetrics metrics, Step());
    QWEN25_RETURN_IF_ERROR(metrics_->Append(metrics));
    summary.last_step = metrics;
    if (callbacks.on_step) callbacks.on_step(metrics);
    const bool last = plan_.Done(state_.step, state_.seconds);
    if (data_.validation != nullptr && every(options_.validate_every) && !last) {
      QWEN25_TRY(summary.last_validation, ValidateAndReport(callbacks));
    }
    if (every(options_.checkpoint_every) && !last) QWEN25_RETURN_IF_ERROR(SaveCheckpoint());
  }
  // A run that was resumed after its end was validated before.
  if (!summary.stopped && data_.validation != nullptr && summary.last_step) {
    QWEN25_TRY(summary.last_validation, ValidateAndReport(callbacks));
  }
  QWEN25_RETURN_IF_ERROR(SaveCheckpoint());
  if (!summary.stopped) {
    summary.model = fs::path(options_.output) / "model";
    QWEN25_RETURN_IF_ERROR(SaveFinalModel(summary.model));
  }
  summary.steps = state_.step;
  summary.tokens = state_.tokens;
  summary.seconds = state_.seconds;
  summary.best_validation_loss = state_.best_validation_loss;
  summary.checkpoint = checkpoints_.PathOf(state_.step);
  return summary;
}

}  // namespace qwen25

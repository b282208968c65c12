#include "train/checkpoint.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <string_view>
#include <system_error>

#include "base/file.h"
#include "base/hash.h"
#include "base/mmap.h"
#include "store/safetensors.h"

namespace qwen25 {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kFormatVersion = 1;
constexpr const char* kStateFile = "trainer_state.json";
constexpr const char* kOptimizerFile = "optimizer.safetensors";
constexpr const char* kPrefix = "checkpoint-";
constexpr const char* kTemporarySuffix = ".tmp";  // being written
constexpr const char* kDoomedSuffix = ".old";     // being removed
// The tokenizer's files that define token ids.
constexpr std::string_view kTokenFiles[] = {"tokenizer.json", "vocab.json", "merges.txt",
                                            "added_tokens.json"};
constexpr const char* kNumSteps = "num_steps";  // in the metadata of optimizer.safetensors

std::string HashText(std::span<const std::byte> bytes) {
  return fmt::format("{:016x}", Hash64(bytes));
}

// The step in a name "checkpoint-<step>"; nothing for other names ("checkpoint-12.tmp").
std::optional<uint64_t> StepOf(std::string_view name) {
  if (!name.starts_with(kPrefix)) return {};
  name.remove_prefix(std::string_view(kPrefix).size());
  uint64_t step = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), step);
  if (error != std::errc() || end != name.data() + name.size()) return {};
  return step;
}

Status RemoveFolder(const fs::path& folder) {
  std::error_code error;
  fs::remove_all(folder, error);
  if (error) return ErrnoStatus(error.value(), "remove", folder);
  return {};
}

Status Rename(const fs::path& from, const fs::path& to) {
  std::error_code error;
  fs::rename(from, to, error);
  if (error) return ErrnoStatus(error.value(), fmt::format("rename to {}", to.filename().string()), from);
  return {};
}

// Renames a checkpoint before removing it: a folder with a plain name is always complete.
Status RemoveCheckpoint(const fs::path& checkpoint) {
  const fs::path doomed = checkpoint.string() + kDoomedSuffix;
  QWEN25_RETURN_IF_ERROR(RemoveFolder(doomed));
  QWEN25_RETURN_IF_ERROR(Rename(checkpoint, doomed));
  return RemoveFolder(doomed);
}

Status WriteOptimizerState(const fs::path& path, const Optimizer& optimizer) {
  std::vector<TensorToWrite> tensors;
  for (const OptimizerTensor& tensor : optimizer.state()) {
    tensors.push_back(TensorToWrite::FromFloat(tensor.name, {tensor.rows, tensor.cols}, tensor.values));
  }
  return WriteSafetensors(path, tensors, {{kNumSteps, std::to_string(optimizer.num_steps())}});
}

// Size and hash of every file in `folder`, by name.
Result<Json> DescribeFiles(const fs::path& folder) {
  std::map<std::string, Json> files;  // sorted: folders list in any order
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    QWEN25_TRY(const MappedFile file, MappedFile::Open(entry.path()));
    files[entry.path().filename()] = {{"bytes", file.bytes().size()}, {"xxh3", HashText(file.bytes())}};
  }
  if (error) return ErrnoStatus(error.value(), "list", folder);
  Json json = Json::object();
  for (auto& [name, description] : files) json[name] = std::move(description);
  return json;
}

Json StateToJson(const TrainerState& state, Json files) {
  Json json = Json::object();
  json["format_version"] = kFormatVersion;
  json["program"] = "qwen25 " QWEN25_VERSION;
  json["step"] = state.step;
  json["tokens"] = state.tokens;
  json["seconds"] = state.seconds;
  json["planned_steps"] = state.planned_steps;
  json["plan_revision"] = state.plan_revision;
  if (std::isfinite(state.best_validation_loss)) {  // JSON has no infinity
    json["best_validation_loss"] = state.best_validation_loss;
    json["best_validation_step"] = state.best_validation_step;
  }
  json["loader"] = state.loader;
  if (!state.validation.is_null()) json["validation"] = state.validation;
  json["options"] = state.options;
  json["files"] = std::move(files);
  // The last key: the hash of the document before it.
  const std::string text = json.dump();
  json["xxh3"] = HashText(std::as_bytes(std::span(text)));
  return json;
}

Result<TrainerState> StateFromJson(Json json, const std::string& origin) {
  const auto corrupt = [&](std::string_view what) {
    return Corrupt("{}: {}; the checkpoint is damaged, resume from an older one", origin, what);
  };
  if (!json.is_object()) return corrupt("not a JSON object");
  uint64_t version = 0;
  QWEN25_RETURN_IF_ERROR(ReadField(json, "format_version", origin, version));
  if (version != kFormatVersion) {
    return Unsupported("{}: format_version is {}, this program reads {}", origin, version, kFormatVersion);
  }
  std::string hash;
  QWEN25_RETURN_IF_ERROR(ReadField(json, "xxh3", origin, hash));
  json.erase("xxh3");
  const std::string text = json.dump();
  if (hash != HashText(std::as_bytes(std::span(text)))) return corrupt("its content does not match its hash");
  TrainerState state;
  QWEN25_RETURN_IF_ERROR(ReadField(json, "step", origin, state.step));
  QWEN25_RETURN_IF_ERROR(ReadField(json, "tokens", origin, state.tokens));
  QWEN25_RETURN_IF_ERROR(ReadField(json, "seconds", origin, state.seconds));
  QWEN25_RETURN_IF_ERROR(ReadField(json, "planned_steps", origin, state.planned_steps));
  QWEN25_RETURN_IF_ERROR(ReadField(json, "plan_revision", origin, state.plan_revision));
  QWEN25_RETURN_IF_ERROR(ReadField(json, "best_validation_loss", origin, state.best_validation_loss));
  QWEN25_RETURN_IF_ERROR(ReadField(json, "best_validation_step", origin, state.best_validation_step));
  for (const char* key : {"loader", "options", "files"}) {
    if (!json.contains(key)) return corrupt(fmt::format("\"{}\" is missing", key));
  }
  state.loader = json["loader"];
  if (const auto found = json.find("validation"); found != json.end()) state.validation = *found;
  state.options = json["options"];
  return state;
}

Status CheckFiles(const fs::path& checkpoint, const Json& files, const std::string& origin) {
  if (!files.is_object()) return Corrupt("{}: \"files\" is not an object", origin);
  for (const auto& [name, description] : files.items()) {
    uint64_t bytes = 0;
    std::string hash;
    QWEN25_RETURN_IF_ERROR(ReadField(description, "bytes", origin, bytes));
    QWEN25_RETURN_IF_ERROR(ReadField(description, "xxh3", origin, hash));
    const std::string path = checkpoint / name;
    Result<MappedFile> file = MappedFile::Open(path);
    if (!file.ok())
      return Corrupt("{}; {} lists it with {} bytes", file.status().message(), kStateFile, bytes);
    if (file->bytes().size() != bytes) {
      return Corrupt("{}: has {} bytes, expected {} ({})", path, file->bytes().size(), bytes, kStateFile);
    }
    if (const std::string found = HashText(file->bytes()); found != hash) {
      return Corrupt("{}: content hash is {}, expected {} ({}); resume from an older checkpoint", path, found,
                     hash, kStateFile);
    }
  }
  return {};
}

}  // namespace

fs::path CheckpointStore::PathOf(uint64_t step) const {
  return run_ / fmt::format("{}{}", kPrefix, step);
}

Result<std::vector<uint64_t>> CheckpointStore::Steps() const {
  std::vector<uint64_t> steps;
  std::error_code error;
  if (!fs::exists(run_, error)) return steps;
  for (const auto& entry : fs::directory_iterator(run_, error)) {
    if (const auto step = StepOf(entry.path().filename().string())) steps.push_back(*step);
  }
  if (error) return ErrnoStatus(error.value(), "list", run_);
  std::sort(steps.begin(), steps.end());
  return steps;
}

Result<std::optional<fs::path>> CheckpointStore::Latest() const {
  QWEN25_TRY(const std::vector<uint64_t> steps, Steps());
  if (steps.empty()) return std::optional<fs::path>();
  if (Result<std::string> name = ReadFile(run_ / "latest"); name.ok()) {
    while (!name->empty() && name->back() == '\n') name->pop_back();
    const std::optional<uint64_t> step = StepOf(*name);
    if (step && std::binary_search(steps.begin(), steps.end(), *step)) return std::optional(PathOf(*step));
  } else if (name.status().code() != StatusCode::kNotFound) {
    return name.status();
  }
  return std::optional(PathOf(steps.back()));
}

Status CheckpointStore::RemoveLeftovers() const {
  qwen25::RemoveLeftovers(run_);
  std::vector<fs::path> leftovers;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(run_, error)) {
    const fs::path suffix = entry.path().extension();
    if ((suffix == kTemporarySuffix || suffix == kDoomedSuffix) && StepOf(entry.path().stem().string())) {
      leftovers.push_back(entry.path());
    }
  }
  if (error) return ErrnoStatus(error.value(), "list", run_);
  for (const fs::path& leftover : leftovers) QWEN25_RETURN_IF_ERROR(RemoveFolder(leftover));
  return {};
}

Status CheckpointStore::Save(const Model& model, const Optimizer& optimizer, const TrainerState& state,
                             std::span<const fs::path> extra_files, uint32_t keep) const {
  const fs::path final_path = PathOf(state.step);
  const fs::path temporary = final_path.string() + kTemporarySuffix;
  QWEN25_RETURN_IF_ERROR(CreateDirectories(run_));
  QWEN25_RETURN_IF_ERROR(RemoveLeftovers());
  QWEN25_RETURN_IF_ERROR(CreateDirectories(temporary));
  const auto write = [&]() -> Status {
    QWEN25_RETURN_IF_ERROR(model.Save(temporary));
    QWEN25_RETURN_IF_ERROR(WriteOptimizerState(temporary / kOptimizerFile, optimizer));
    for (const fs::path& file : extra_files) {
      QWEN25_TRY(const std::string content, ReadFile(file));
      QWEN25_RETURN_IF_ERROR(WriteFileAtomically(temporary / file.filename(), content));
    }
    QWEN25_TRY(Json files, DescribeFiles(temporary));
    return WriteFileAtomically(temporary / kStateFile, StateToJson(state, std::move(files)).dump(2) + "\n");
  };
  if (Status status = write(); !status.ok()) {
    (void)RemoveFolder(temporary);  // makes room on a full disk; the first failure is the one to report
    return status;
  }
  std::error_code ignored;
  if (fs::exists(final_path, ignored)) QWEN25_RETURN_IF_ERROR(RemoveCheckpoint(final_path));
  QWEN25_RETURN_IF_ERROR(Rename(temporary, final_path));
  QWEN25_RETURN_IF_ERROR(SyncDirectory(run_));
  QWEN25_RETURN_IF_ERROR(WriteFileAtomically(run_ / "latest", final_path.filename().string() + "\n"));

  QWEN25_TRY(std::vector<uint64_t> steps, Steps());
  std::erase(steps, state.step);
  const size_t num_others = keep > 0 ? keep - 1 : 0;
  for (size_t i = 0; i + num_others < steps.size(); ++i)
    QWEN25_RETURN_IF_ERROR(RemoveCheckpoint(PathOf(steps[i])));
  return {};
}

Result<TrainerState> ReadTrainerState(const fs::path& checkpoint) {
  const std::string origin = checkpoint / kStateFile;
  QWEN25_TRY(const Json json, ReadJsonFile(origin));
  QWEN25_TRY(TrainerState state, StateFromJson(json, origin));
  QWEN25_RETURN_IF_ERROR(CheckFiles(checkpoint, json["files"], origin));
  return state;
}

Status ReadOptimizerState(const fs::path& checkpoint, Optimizer& optimizer) {
  const std::string path = checkpoint / kOptimizerFile;
  QWEN25_TRY(const SafetensorsReader file, SafetensorsReader::Open(path));
  for (const OptimizerTensor& tensor : optimizer.state()) {
    const TensorInfo* found = file.Find(tensor.name);
    if (found == nullptr)
      return NotFound("{}: holds no tensor {}, which the optimiser needs", path, tensor.name);
    const std::vector<uint64_t> shape = {tensor.rows, tensor.cols};
    if (found->dtype != DType::kF32 || found->shape != shape) {
      return InvalidArgument("{}: {} has shape [{}], expected float32 [{}, {}]", path, tensor.name,
                             fmt::join(found->shape, ", "), tensor.rows, tensor.cols);
    }
    if (Status status = CopyToFloat(*found, 0, tensor.values, /*check_finite=*/true); !status.ok()) {
      return Status(status.code(), fmt::format("{}: {}", path, status.message()));
    }
  }
  if (file.tensors().size() != optimizer.state().size()) {
    return InvalidArgument("{}: holds {} tensors, expected {}: it was written by another kind of optimiser",
                           path, file.tensors().size(), optimizer.state().size());
  }
  const auto steps = file.metadata().find(kNumSteps);
  uint64_t num_steps = 0;
  const std::string text = steps == file.metadata().end() ? "" : steps->second;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), num_steps);
  if (error != std::errc() || end != text.data() + text.size()) {
    return Corrupt("{}: metadata {} is \"{}\", expected a number", path, kNumSteps, text);
  }
  optimizer.set_num_steps(num_steps);
  return {};
}

Status CheckSameModel(const fs::path& checkpoint, const ModelConfig& config) {
  const std::string origin = checkpoint / "config.json";
  QWEN25_TRY(const ModelConfig saved_config, ModelConfig::Load(origin));
  if (saved_config == config) return {};
  const Json saved = saved_config.ToJson(), wanted = config.ToJson();
  std::string differences;
  for (const auto& [key, value] : wanted.items()) {
    const auto found = saved.find(key);
    const std::string before = found == saved.end() ? "absent" : found->dump();
    if (before == value.dump()) continue;
    differences += fmt::format("{}{} is {} there and {} in the options", differences.empty() ? "" : "; ", key,
                               before, value.dump());
  }
  return InvalidArgument("{}: the checkpoint is of another model: {}", origin, differences);
}

Status CheckSameTokenizer(const fs::path& checkpoint, std::span<const fs::path> tokenizer_files) {
  for (const fs::path& path : tokenizer_files) {
    const fs::path name = path.filename();
    if (std::ranges::find(kTokenFiles, name.string()) == std::end(kTokenFiles)) continue;
    std::error_code ignored;
    if (!fs::exists(checkpoint / name, ignored)) continue;
    QWEN25_TRY(const std::string now, ReadFile(path));
    QWEN25_TRY(const std::string then, ReadFile(checkpoint / name));
    if (now == then) continue;
    // White space does not matter.
    const Result<Json> now_json = ParseJson(now, path.string()), then_json = ParseJson(then, name.string());
    if (now_json.ok() && then_json.ok() && *now_json == *then_json) continue;
    return InvalidArgument(
        "{} is not the tokenizer that the run began with, whose copy is {}: token ids would stand for other "
        "text; use that tokenizer",
        path.string(), (checkpoint / name).string());
  }
  return {};
}

}  // namespace qwen25

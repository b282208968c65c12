#include "train/metrics.h"

#include <array>
#include <cmath>
#include <iterator>
#include <string>
#include <string_view>

#include "base/json.h"

namespace qwen25 {
namespace {

// The fields of a record, in the order in which they are written.
void VisitFields(auto& m, auto&& visit) requires requires {
  m.gradient_norm;
}
{
  visit("step", m.step);
  visit("tokens", m.tokens);
  visit("loss", m.loss);
  visit("learning_rate", m.learning_rate);
  visit("gradient_norm", m.gradient_norm);
  visit("tokens_per_second", m.tokens_per_second);
  visit("flop_utilization", m.flop_utilization);
  visit("seconds", m.seconds);
}
void VisitFields(auto& m, auto&& visit) requires requires {
  m.bits_per_byte;
}
{
  visit("step", m.step);
  visit("tokens", m.tokens);
  visit("validation_tokens", m.validation_tokens);
  visit("validation_bytes", m.validation_bytes);
  visit("validation_loss", m.loss);
  visit("bits_per_byte", m.bits_per_byte);
}

// Writes the shortest digits that read back as the same number; leaves out what JSON lacks, NaN and infinity.
template <typename Record>
void FormatRecord(const Record& record, fmt::memory_buffer& line) {
  line.clear();
  char separator = '{';
  VisitFields(record, [&](std::string_view name, auto value) {
    if constexpr (std::is_floating_point_v<decltype(value)>) {
      if (!std::isfinite(value)) return;
    }
    fmt::format_to(std::back_inserter(line), "{}\"{}\":{}", std::exchange(separator, ','), name, value);
  });
  fmt::format_to(std::back_inserter(line), "}}\n");
}

template <typename Record>
Result<Record> ReadRecord(const Json& json, const std::string& origin) {
  Record record;
  Status status;
  VisitFields(record, [&](const char* name, auto& value) {
    if (status.ok()) status = ReadField(json, name, origin, value);
  });
  if (!status.ok()) return Corrupt("{}", status.message());
  return record;
}

struct ParsedMetrics {
  MetricsHistory history;
  std::string kept;  // the lines of steps <= last_step
};

Result<ParsedMetrics> ParseMetrics(const std::filesystem::path& path, uint64_t last_step) {
  QWEN25_TRY(const std::string text, ReadFile(path));
  ParsedMetrics parsed;
  size_t number = 0;
  for (size_t begin = 0; begin < text.size();) {
    ++number;
    const size_t end = text.find('\n', begin);
    if (end == text.npos) break;  // cut off while it was written
    const std::string_view line(text.data() + begin, end - begin);
    begin = end + 1;
    const std::string origin = fmt::format("{}:{}", path.string(), number);
    Result<Json> json = ParseJson(line, origin);
    if (!json.ok() || !json->is_object() || !json->contains("step")) {
      if (begin == text.size()) break;  // the last line: a power loss may leave zeros instead of text
      return Corrupt("{}: not a metrics record; repair or remove this line", origin);
    }
    uint64_t step = 0;
    QWEN25_RETURN_IF_ERROR(ReadField(*json, "step", origin, step));
    if (step > last_step) continue;
    parsed.kept.append(line).push_back('\n');
    if (json->contains("validation_loss")) {
      QWEN25_TRY(parsed.history.validations.emplace_back(), ReadRecord<ValidationMetrics>(*json, origin));
    } else {
      QWEN25_TRY(parsed.history.steps.emplace_back(), ReadRecord<StepMetrics>(*json, origin));
    }
  }
  return parsed;
}

}  // namespace

Result<MetricsHistory> ReadMetrics(const std::filesystem::path& metrics_jsonl) {
  QWEN25_TRY(ParsedMetrics parsed, ParseMetrics(metrics_jsonl, std::numeric_limits<uint64_t>::max()));
  return std::move(parsed.history);
}

Result<MetricsWriter> MetricsWriter::Open(const std::filesystem::path& directory, uint64_t last_step) {
  QWEN25_RETURN_IF_ERROR(CreateDirectories(directory));
  const std::filesystem::path path = directory / "metrics.jsonl";
  std::string kept;
  if (last_step > 0 && std::filesystem::exists(path)) {
    QWEN25_TRY(ParsedMetrics parsed, ParseMetrics(path, last_step));
    kept = std::move(parsed.kept);
  }
  QWEN25_RETURN_IF_ERROR(WriteFileAtomically(path, kept));
  QWEN25_TRY(AppendFile file, AppendFile::Open(path));
  QWEN25_TRY(TensorBoardWriter tensorboard,
             TensorBoardWriter::Open(directory / "tensorboard", last_step + 1));
  return MetricsWriter(std::move(file), std::move(tensorboard));
}

Status MetricsWriter::Append(const StepMetrics& metrics) {
  FormatRecord(metrics, line_);
  QWEN25_RETURN_IF_ERROR(file_.Append(std::string_view(line_.data(), line_.size())));
  const std::array<Scalar, 5> scalars = {{{"loss/train", metrics.loss},
                                          {"optimizer/learning_rate", metrics.learning_rate},
                                          {"optimizer/gradient_norm", metrics.gradient_norm},
                                          {"speed/tokens_per_second", metrics.tokens_per_second},
                                          {"speed/flop_utilization", metrics.flop_utilization}}};
  return tensorboard_.Append(metrics.step, scalars);
}

Status MetricsWriter::Append(const ValidationMetrics& metrics) {
  FormatRecord(metrics, line_);
  QWEN25_RETURN_IF_ERROR(file_.Append(std::string_view(line_.data(), line_.size())));
  const std::array<Scalar, 2> scalars = {
      {{"loss/validation", metrics.loss}, {"loss/validation_bits_per_byte", metrics.bits_per_byte}}};
  return tensorboard_.Append(metrics.step,
                             std::span(scalars).first(std::isfinite(metrics.bits_per_byte) ? 2 : 1));
}

Status MetricsWriter::Sync() {
  QWEN25_RETURN_IF_ERROR(file_.Sync());
  return tensorboard_.Sync();
}

}  // namespace qwen25

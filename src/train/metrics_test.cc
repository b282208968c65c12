#include "train/metrics.h"

#include <cmath>
#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/test_util.h"

namespace qwen25 {
namespace {

StepMetrics Step(uint64_t step) {
  return {.step = step,
          .tokens = step * 1000,
          .loss = 5.0 / static_cast<double>(step + 2),
          .learning_rate = 1e-3,
          .gradient_norm = 1.0 / 3,
          .tokens_per_second = 12345.678,
          .flop_utilization = 0.5,
          .seconds = 0.25 * static_cast<double>(step)};
}

Status AppendSteps(MetricsWriter& writer, uint64_t first, uint64_t last) {
  for (uint64_t step = first; step <= last; ++step) {
    QWEN25_RETURN_IF_ERROR(writer.Append(Step(step)));
    if (step % 5 == 0) {
      QWEN25_RETURN_IF_ERROR(writer.Append(ValidationMetrics{
          .step = step, .tokens = step * 1000, .validation_tokens = 77, .loss = 3.5, .bits_per_byte = 1.25}));
    }
  }
  return {};
}

TEST(MetricsTest, WhatIsWrittenReadsBackToTheLastBit) {
  TemporaryDirectory directory;
  ASSERT_OK_AND_ASSIGN(MetricsWriter writer, MetricsWriter::Open(directory.path(), 0));
  ASSERT_OK(AppendSteps(writer, 1, 10));
  ASSERT_OK(writer.Append(ValidationMetrics{.step = 10, .loss = 2.0}));
  ASSERT_OK(writer.Sync());
  ASSERT_OK_AND_ASSIGN(const MetricsHistory history, ReadMetrics(directory / "metrics.jsonl"));
  ASSERT_EQ(history.steps.size(), 10u);
  ASSERT_EQ(history.validations.size(), 3u);
  for (uint64_t step = 1; step <= 10; ++step) {
    EXPECT_EQ(history.steps[step - 1].step, step);
    EXPECT_EQ(history.steps[step - 1].loss, Step(step).loss);
    EXPECT_EQ(history.steps[step - 1].gradient_norm, 1.0 / 3);
    EXPECT_EQ(history.steps[step - 1].seconds, Step(step).seconds);
  }
  EXPECT_EQ(history.validations[1].bits_per_byte, 1.25);
  EXPECT_EQ(history.validations[1].validation_tokens, 77u);
  EXPECT_TRUE(std::isnan(history.validations[2].bits_per_byte));  // not known, so not written
}

TEST(MetricsTest, AResumedRunHasNoDuplicatesAndATornLineIsDropped) {
  TemporaryDirectory directory;
  {
    ASSERT_OK_AND_ASSIGN(MetricsWriter writer, MetricsWriter::Open(directory.path(), 0));
    ASSERT_OK(AppendSteps(writer, 1, 8));
  }
  const std::string path = directory / "metrics.jsonl";
  const std::string whole = *ReadFile(path);
  {
    ASSERT_OK_AND_ASSIGN(AppendFile file, AppendFile::Open(path));
    ASSERT_OK(file.Append("{\"step\":9,\"los"));
  }
  EXPECT_EQ(ReadMetrics(path)->steps.size(), 8u);
  {
    ASSERT_OK_AND_ASSIGN(MetricsWriter writer, MetricsWriter::Open(directory.path(), 6));
    ASSERT_OK(AppendSteps(writer, 7, 8));
  }
  EXPECT_EQ(*ReadFile(path), whole);
  // Without a step to resume from the files start afresh.
  { ASSERT_OK(MetricsWriter::Open(directory.path(), 0)); }
  EXPECT_EQ(*ReadFile(path), "");
}

TEST(MetricsTest, ADamagedLineInTheMiddleIsNamed) {
  TemporaryDirectory directory;
  const std::string path = directory / "metrics.jsonl";
  ASSERT_OK(WriteFileAtomically(path, "{\"step\":1,\"loss\":2.0}\nnonsense\n{\"step\":3,\"loss\":2.0}\n"));
  EXPECT_ERROR_CONTAINS(ReadMetrics(path), "metrics.jsonl:2: not a metrics record");
  ASSERT_OK(WriteFileAtomically(path, "{\"step\":1,\"loss\":\"low\"}\n{\"step\":2}\n"));
  EXPECT_ERROR_CONTAINS(ReadMetrics(path), "metrics.jsonl:1: \"loss\" is \"low\", expected a number");
  EXPECT_EQ(ReadMetrics(path).status().code(), StatusCode::kCorrupt);
}

// A reader of the frames, written from the format's description and not from the writer.
struct Event {
  uint64_t step = 0;
  std::string file_version;
  bool starts_session = false;
  std::map<std::string, float> scalars;
};

uint64_t ReadVarint(std::string_view& in) {
  uint64_t value = 0;
  for (int shift = 0;; shift += 7) {
    const auto byte = static_cast<uint8_t>(in.front());
    in.remove_prefix(1);
    value |= uint64_t{byte & 0x7fu} << shift;
    if (byte < 0x80) return value;
  }
}
std::string_view ReadBytes(std::string_view& in) {
  const uint64_t size = ReadVarint(in);
  const std::string_view bytes = in.substr(0, size);
  in.remove_prefix(size);
  return bytes;
}
template <typename T>
T ReadRaw(std::string_view& in) {
  T value;
  std::memcpy(&value, in.data(), sizeof value);
  in.remove_prefix(sizeof value);
  return value;
}

Event ParseEvent(std::string_view in) {
  Event event;
  while (!in.empty()) {
    switch (ReadVarint(in)) {
      case 1 << 3 | 1:  // wall_time: double
        EXPECT_GT(ReadRaw<double>(in), 1.6e9);
        break;
      case 2 << 3 | 0:
        event.step = ReadVarint(in);
        break;
      case 3 << 3 | 2:
        event.file_version = ReadBytes(in);
        break;
      case 5 << 3 | 2:
        for (std::string_view summary = ReadBytes(in); !summary.empty();) {
          EXPECT_EQ(ReadVarint(summary), 1u << 3 | 2);
          std::string_view value = ReadBytes(summary);
          EXPECT_EQ(ReadVarint(value), 1u << 3 | 2);
          const std::string tag(ReadBytes(value));
          EXPECT_EQ(ReadVarint(value), 2u << 3 | 5);
          event.scalars[tag] = ReadRaw<float>(value);
          EXPECT_TRUE(value.empty());
        }
        break;
      case 7 << 3 | 2:
        event.starts_session = ReadBytes(in) == "\x08\x01";
        break;
      default:
        ADD_FAILURE() << "unknown field";
        return event;
    }
  }
  return event;
}

std::vector<Event> ReadEvents(const std::string& path) {
  const std::string content = *ReadFile(path);
  std::string_view in = content;
  std::vector<Event> events;
  while (!in.empty()) {
    const std::string_view length_bytes = in.substr(0, 8);
    const auto length = ReadRaw<uint64_t>(in);
    EXPECT_EQ(ReadRaw<uint32_t>(in), MaskedCrc32c(std::as_bytes(std::span(length_bytes))));
    const std::string_view payload = in.substr(0, length);
    in.remove_prefix(length);
    EXPECT_EQ(ReadRaw<uint32_t>(in), MaskedCrc32c(std::as_bytes(std::span(payload))));
    events.push_back(ParseEvent(payload));
  }
  return events;
}

TEST(TensorBoardTest, FramesAndMessages) {
  TemporaryDirectory directory;
  const std::string long_tag(300, 't');  // its length takes two bytes
  std::string path;
  {
    ASSERT_OK_AND_ASSIGN(TensorBoardWriter writer, TensorBoardWriter::Open(directory.path(), 1));
    path = writer.path();
    const std::vector<Scalar> scalars = {{"loss/train", 2.5}, {long_tag, -1.0}};
    ASSERT_OK(writer.Append(300, scalars));
    ASSERT_OK(writer.Sync());
  }
  EXPECT_NE(path.find("events.out.tfevents."), path.npos);
  const std::vector<Event> events = ReadEvents(path);
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[0].file_version, "brain.Event:2");
  EXPECT_EQ(events[2].step, 300u);
  EXPECT_EQ(events[2].scalars, (std::map<std::string, float>{{"loss/train", 2.5f}, {long_tag, -1.0f}}));
}

TEST(TensorBoardTest, AResumedRunMarksWhereItStarts) {
  TemporaryDirectory directory;
  ASSERT_OK_AND_ASSIGN(const TensorBoardWriter first, TensorBoardWriter::Open(directory.path(), 1));
  ASSERT_OK_AND_ASSIGN(const TensorBoardWriter second, TensorBoardWriter::Open(directory.path(), 7));
  EXPECT_NE(first.path(), second.path());
  const std::vector<Event> events = ReadEvents(second.path());
  ASSERT_EQ(events.size(), 2u);
  EXPECT_TRUE(events[1].starts_session);
  EXPECT_EQ(events[1].step, 7u);
}

}  // namespace
}  // namespace qwen25

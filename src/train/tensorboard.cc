#include "train/tensorboard.h"

#include <unistd.h>

#include <bit>
#include <chrono>
#include <cstring>

#include "base/crc32c.h"

namespace qwen25 {
namespace {

// Field numbers of tensorflow/core/util/event.proto and framework/summary.proto.
constexpr uint32_t kEventWallTime = 1, kEventStep = 2, kEventFileVersion = 3, kEventSummary = 5,
                   kEventSessionLog = 7;
constexpr uint32_t kSummaryValue = 1, kValueTag = 1, kValueSimpleValue = 2;
constexpr uint32_t kSessionLogStatus = 1, kSessionStart = 1;
// Wire types of the protocol buffer encoding.
constexpr uint32_t kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5;

void PutVarint(std::vector<char>& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>(value | 0x80));
  out.push_back(static_cast<char>(value));
}
void PutKey(std::vector<char>& out, uint32_t field, uint32_t wire_type) {
  PutVarint(out, field << 3 | wire_type);
}
template <typename Integer>
void PutLittleEndian(std::vector<char>& out, Integer value) {
  for (size_t i = 0; i < sizeof value; ++i) out.push_back(static_cast<char>(value >> (8 * i)));
}
void PutBytes(std::vector<char>& out, uint32_t field, std::string_view bytes) {
  PutKey(out, field, kBytes);
  PutVarint(out, bytes.size());
  out.insert(out.end(), bytes.begin(), bytes.end());
}

// Starts an event with the fields of every event: time and step.
void StartEvent(std::vector<char>& out, uint64_t step) {
  const double seconds =
      std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  out.clear();
  PutKey(out, kEventWallTime, kFixed64);
  PutLittleEndian(out, std::bit_cast<uint64_t>(seconds));
  PutKey(out, kEventStep, kVarint);
  PutVarint(out, step);
}

std::span<const std::byte> AsBytes(const std::vector<char>& data) {
  return std::as_bytes(std::span(data));
}

}  // namespace

uint32_t MaskedCrc32c(std::span<const std::byte> bytes) {
  return std::rotr(Crc32c(bytes), 15) + 0xa282ead8u;
}

Result<TensorBoardWriter> TensorBoardWriter::Open(const std::filesystem::path& directory,
                                                  uint64_t first_step) {
  QWEN25_RETURN_IF_ERROR(CreateDirectories(directory));
  char host[256] = "localhost";
  if (::gethostname(host, sizeof host - 1) != 0) std::strcpy(host, "localhost");
  const auto seconds =
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch())
          .count();
  std::filesystem::path path;
  // The number makes names unique within a second of a process and keeps their order.
  for (int number = 0; path.empty() || std::filesystem::exists(path); ++number) {
    path = directory / fmt::format("events.out.tfevents.{}.{}.{}.{}", seconds, host, ::getpid(), number);
  }
  QWEN25_TRY(AppendFile file, AppendFile::Open(path));
  TensorBoardWriter writer(std::move(file));
  for (std::vector<char>* buffer : {&writer.event_, &writer.message_, &writer.frame_}) buffer->reserve(1024);
  StartEvent(writer.event_, 0);
  PutBytes(writer.event_, kEventFileVersion, "brain.Event:2");
  QWEN25_RETURN_IF_ERROR(writer.WriteEvent());
  PutKey(writer.message_, kSessionLogStatus, kVarint);
  PutVarint(writer.message_, kSessionStart);
  StartEvent(writer.event_, first_step);
  PutBytes(writer.event_, kEventSessionLog, {writer.message_.data(), writer.message_.size()});
  QWEN25_RETURN_IF_ERROR(writer.WriteEvent());
  return writer;
}

Status TensorBoardWriter::Append(uint64_t step, std::span<const Scalar> scalars) {
  message_.clear();
  for (const Scalar& scalar : scalars) {
    size_t length_bytes = 1;  // of the tag's length, a varint
    for (size_t rest = scalar.tag.size() >> 7; rest > 0; rest >>= 7) ++length_bytes;
    PutKey(message_, kSummaryValue, kBytes);
    PutVarint(message_, 1 + length_bytes + scalar.tag.size() + 1 + sizeof(float));
    PutBytes(message_, kValueTag, scalar.tag);
    PutKey(message_, kValueSimpleValue, kFixed32);
    PutLittleEndian(message_, std::bit_cast<uint32_t>(static_cast<float>(scalar.value)));
  }
  StartEvent(event_, step);
  PutBytes(event_, kEventSummary, {message_.data(), message_.size()});
  return WriteEvent();
}

Status TensorBoardWriter::WriteEvent() {
  frame_.clear();
  PutLittleEndian(frame_, static_cast<uint64_t>(event_.size()));
  PutLittleEndian(frame_, MaskedCrc32c(AsBytes(frame_)));
  frame_.insert(frame_.end(), event_.begin(), event_.end());
  PutLittleEndian(frame_, MaskedCrc32c(AsBytes(event_)));
  // One write per frame: a killed process leaves whole frames.
  return file_.Append(AsBytes(frame_));
}

}  // namespace qwen25

// Writing GGUF files.
#include "base/check.h"
#include "store/gguf.h"

namespace qwen25 {
namespace {

uint64_t RoundUp(uint64_t value, uint64_t alignment) {
  return (value + alignment - 1) / alignment * alignment;
}

template <typename Number>
void AppendNumber(std::string& bytes, Number number) {
  bytes.append(reinterpret_cast<const char*>(&number), sizeof number);
}
void AppendText(std::string& bytes, std::string_view text) {
  AppendNumber(bytes, uint64_t{text.size()});
  bytes.append(text);
}

}  // namespace

void GgufMetadata::AddKey(std::string_view key, GgufType type) {
  QWEN25_CHECK(IsGgufName(key) && keys_.emplace(key, true).second);
  AppendText(bytes_, key);
  AppendNumber(bytes_, static_cast<uint32_t>(type));
}

template <typename Number>
void GgufMetadata::AddNumbers(std::string_view key, GgufType type, std::span<const Number> values) {
  AddKey(key, GgufType::kArray);
  AppendNumber(bytes_, static_cast<uint32_t>(type));
  AppendNumber(bytes_, uint64_t{values.size()});
  bytes_.append(reinterpret_cast<const char*>(values.data()), values.size_bytes());
}

void GgufMetadata::SetBool(std::string_view key, bool value) {
  AddKey(key, GgufType::kBool);
  AppendNumber(bytes_, static_cast<uint8_t>(value));
}
void GgufMetadata::SetU32(std::string_view key, uint32_t value) {
  AddKey(key, GgufType::kU32);
  AppendNumber(bytes_, value);
}
void GgufMetadata::SetF32(std::string_view key, float value) {
  AddKey(key, GgufType::kF32);
  AppendNumber(bytes_, value);
}
void GgufMetadata::SetString(std::string_view key, std::string_view value) {
  AddKey(key, GgufType::kString);
  AppendText(bytes_, value);
}
void GgufMetadata::SetStrings(std::string_view key, std::span<const std::string> values) {
  AddKey(key, GgufType::kArray);
  AppendNumber(bytes_, static_cast<uint32_t>(GgufType::kString));
  AppendNumber(bytes_, uint64_t{values.size()});
  for (const std::string& value : values) AppendText(bytes_, value);
}
void GgufMetadata::SetI32s(std::string_view key, std::span<const int32_t> values) {
  AddNumbers(key, GgufType::kI32, values);
}
void GgufMetadata::SetF32s(std::string_view key, std::span<const float> values) {
  AddNumbers(key, GgufType::kF32, values);
}
void GgufMetadata::SetBools(std::string_view key, const std::vector<bool>& values) {
  const std::vector<uint8_t> bytes(values.begin(), values.end());
  AddNumbers(key, GgufType::kBool, std::span<const uint8_t>(bytes));
}
void GgufMetadata::SetValue(std::string_view key, const GgufValue& value) {
  AddKey(key, value.type());
  bytes_.append(reinterpret_cast<const char*>(value.bytes().data()), value.bytes().size());
}

uint64_t GgufTensorPlan::NumBytes() const {
  const GgmlTypeInfo* info = FindGgmlType(type);
  QWEN25_CHECK(info != nullptr && (shape.empty() || shape.back() % info->elements == 0));
  uint64_t count = 1;
  for (const uint64_t size : shape) count *= size;
  return count / info->elements * info->bytes;
}

Result<GgufWriter> GgufWriter::Open(const std::filesystem::path& path, const GgufMetadata& metadata,
                                    std::vector<GgufTensorPlan> tensors) {
  constexpr uint64_t kAlignment = 32;  // the default: no key has to state it
  constexpr size_t kMaxTensorName = 63;
  std::string header = "GGUF";
  AppendNumber(header, uint32_t{3});
  AppendNumber(header, uint64_t{tensors.size()});
  AppendNumber(header, metadata.count());
  header += metadata.bytes();
  uint64_t offset = 0;
  for (const GgufTensorPlan& tensor : tensors) {
    QWEN25_CHECK(IsGgufName(tensor.name) && tensor.name.size() <= kMaxTensorName &&
                 tensor.shape.size() <= kMaxGgmlDimensions);
    AppendText(header, tensor.name);
    AppendNumber(header, static_cast<uint32_t>(tensor.shape.size()));
    for (auto size = tensor.shape.rbegin(); size != tensor.shape.rend(); ++size) AppendNumber(header, *size);
    AppendNumber(header, static_cast<uint32_t>(tensor.type));
    AppendNumber(header, offset);
    offset += RoundUp(tensor.NumBytes(), kAlignment);
  }
  header.resize(RoundUp(header.size(), kAlignment), '\0');
  QWEN25_TRY(AtomicFile file, AtomicFile::Open(path));
  QWEN25_RETURN_IF_ERROR(file.Write(header));
  return GgufWriter(std::move(file), std::move(tensors));
}

Status GgufWriter::PadToAlignment() {
  while (next_ < tensors_.size() && tensor_written_ == tensors_[next_].NumBytes()) {
    constexpr char kZeros[32] = {};
    const uint64_t rest = file_.bytes_written() % 32;
    if (rest != 0) QWEN25_RETURN_IF_ERROR(file_.Write(std::string_view(kZeros, 32 - rest)));
    ++next_;
    tensor_written_ = 0;
  }
  return {};
}

Status GgufWriter::Write(std::span<const std::byte> bytes) {
  QWEN25_RETURN_IF_ERROR(PadToAlignment());  // also skips empty tensors
  QWEN25_CHECK(next_ < tensors_.size() && bytes.size() <= tensors_[next_].NumBytes() - tensor_written_);
  tensor_written_ += bytes.size();
  return file_.Write(bytes);
}

Status GgufWriter::Commit() {
  QWEN25_RETURN_IF_ERROR(PadToAlignment());
  QWEN25_CHECK(next_ == tensors_.size());
  return file_.Commit();
}

}  // namespace qwen25

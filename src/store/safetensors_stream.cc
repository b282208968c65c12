#include "store/safetensors_stream.h"

#include <algorithm>

#include "base/check.h"
#include "base/json.h"

namespace qwen25 {
namespace {

constexpr size_t kLengthBytes = 8;
constexpr size_t kDataAlignment = 64;

}  // namespace

Result<SafetensorsStream> SafetensorsStream::Open(const std::filesystem::path& path, size_t header_bytes) {
  QWEN25_TRY(AtomicFile file, AtomicFile::Open(path));
  const size_t data_begin =
      (kLengthBytes + header_bytes + kDataAlignment - 1) / kDataAlignment * kDataAlignment;
  QWEN25_RETURN_IF_ERROR(file.Write(std::string(data_begin, ' ')));
  return SafetensorsStream(std::move(file), data_begin - kLengthBytes);
}

uint64_t SafetensorsStream::DataBytes() const {
  return file_.bytes_written() - kLengthBytes - header_bytes_;
}

void SafetensorsStream::Begin(std::string name, DType dtype, std::vector<uint64_t> row_shape) {
  QWEN25_CHECK(std::ranges::none_of(tensors_, [&](const Tensor& tensor) { return tensor.name == name; }));
  QWEN25_CHECK(std::ranges::find(row_shape, 0u) == row_shape.end());
  tensors_.push_back({std::move(name), dtype, std::move(row_shape), DataBytes()});
}

Status SafetensorsStream::Append(std::span<const std::byte> bytes) {
  QWEN25_CHECK(!tensors_.empty());
  return file_.Write(bytes);
}

std::string SafetensorsStream::Header(const std::map<std::string, std::string>& metadata) const {
  Json header = Json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  for (size_t i = 0; i < tensors_.size(); ++i) {
    const Tensor& tensor = tensors_[i];
    const uint64_t end = i + 1 < tensors_.size() ? tensors_[i + 1].begin : DataBytes();
    uint64_t row_bytes = DTypeSize(tensor.dtype);
    for (const uint64_t size : tensor.row_shape) row_bytes *= size;
    QWEN25_CHECK((end - tensor.begin) % row_bytes == 0);
    std::vector<uint64_t> shape = {(end - tensor.begin) / row_bytes};
    shape.insert(shape.end(), tensor.row_shape.begin(), tensor.row_shape.end());
    header[tensor.name] = {
        {"dtype", DTypeName(tensor.dtype)}, {"shape", shape}, {"data_offsets", {tensor.begin, end}}};
  }
  return header.dump();
}

Status SafetensorsStream::Commit(const std::map<std::string, std::string>& metadata) {
  const std::string header = Header(metadata);
  if (header.size() > header_bytes_) {
    return ResourceExhausted("the header of a safetensors file needs {} bytes, {} were left for it",
                             header.size(), header_bytes_);
  }
  const uint64_t length = header_bytes_;  // the JSON is followed by spaces, as the format allows
  QWEN25_RETURN_IF_ERROR(file_.WriteAt(0, std::as_bytes(std::span(&length, 1))));
  QWEN25_RETURN_IF_ERROR(file_.WriteAt(kLengthBytes, std::as_bytes(std::span(header))));
  return file_.Commit();
}

}  // namespace qwen25

#include <algorithm>
#include <vector>

#include "memory_file.h"
#include "store/safetensors.h"
#include "targets.h"

namespace qwen25 {

// Every tensor that a header promises can be found, lies in the file and can be read to its last byte.
void FuzzSafetensors(std::span<const uint8_t> bytes) {
  const MemoryFile file(bytes);
  const auto reader = SafetensorsReader::Open(file.path());
  if (!reader.ok()) {
    QWEN25_CHECK(reader.status().message().find(file.path()) != std::string::npos);
    return;
  }
  size_t num_bytes = 0;
  for (const TensorInfo& tensor : reader->tensors()) {
    QWEN25_CHECK(reader->Find(tensor.name) == &tensor);
    num_bytes += tensor.bytes.size();
    unsigned sum = 0;
    for (const std::byte byte : tensor.bytes) sum += static_cast<unsigned>(byte);
    std::vector<float> values(std::min<uint64_t>(tensor.NumElements(), 1 << 16));
    const Status copied = CopyToFloat(tensor, tensor.NumElements() - values.size(), values, sum % 2 == 0);
    QWEN25_CHECK(copied.ok() || !copied.message().empty());
  }
  QWEN25_CHECK(num_bytes < bytes.size());
}

}  // namespace qwen25

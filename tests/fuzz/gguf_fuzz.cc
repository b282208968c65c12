#include <vector>

#include "memory_file.h"
#include "store/gguf.h"
#include "targets.h"

namespace qwen25 {
namespace {

// Every element of an array can be asked for, as every kind.
void Walk(const GgufValue& value, int depth) {
  QWEN25_CHECK(!value.TypeName().empty());
  QWEN25_CHECK(depth < 8);
  const auto number = value.Number();
  QWEN25_CHECK(!value.Integer() || number);
  QWEN25_CHECK(!(value.String() && number) && !(value.Bool() && number));
  const auto elements = value.Elements();
  QWEN25_CHECK(elements.has_value() == (value.type() == GgufType::kArray));
  if (!elements) return;
  for (const GgufValue& element : *elements) Walk(element, depth + 1);
  for (const auto& count : {value.Strings() ? value.Strings()->size() : elements->size(),
                            value.Numbers() ? value.Numbers()->size() : elements->size()}) {
    QWEN25_CHECK(count == elements->size());
  }
}

}  // namespace

// Every value and tensor that a header promises can be found, lies in the file and can be read to its last
// byte; the metadata are written again as they were.
void FuzzGguf(std::span<const uint8_t> bytes) {
  const MemoryFile file(bytes);
  const auto reader = GgufReader::Open(file.path());
  if (!reader.ok()) {
    QWEN25_CHECK(reader.status().message().find(file.path()) != std::string::npos);
    return;
  }
  GgufMetadata copy;
  size_t num_bytes = 0;
  for (const auto& [key, value] : reader->metadata()) {
    QWEN25_CHECK(reader->Find(key) == &value);
    Walk(value, 0);
    copy.SetValue(key, value);
    num_bytes += value.bytes().size();
  }
  QWEN25_CHECK(copy.count() == reader->metadata().size());
  for (const GgufTensor& tensor : reader->tensors()) {
    QWEN25_CHECK(reader->FindTensor(tensor.name) == &tensor);
    QWEN25_CHECK((GgufTensorPlan{tensor.name, tensor.type, tensor.shape}.NumBytes()) == tensor.bytes.size());
    unsigned sum = 0;
    for (const std::byte byte : tensor.bytes) sum += static_cast<unsigned>(byte);
    num_bytes += tensor.bytes.size() + sum % 1;
  }
  QWEN25_CHECK(num_bytes < bytes.size());
}

}  // namespace qwen25

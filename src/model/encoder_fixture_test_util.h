// What transformers computed for a fixture of tests/reference/make_encoder_fixtures.py.
#pragma once

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "base/check.h"
#include "store/safetensors.h"

namespace qwen25 {

// The tensors of a folder's expected.safetensors.
class ExpectedTensors {
 public:
  explicit ExpectedTensors(const std::filesystem::path& folder)
      : file_(SafetensorsReader::Open(folder / "expected.safetensors").value()) {}

  std::vector<int32_t> Ints(const std::string& name) const {
    const TensorInfo* tensor = file_.Find(name);
    QWEN25_CHECK(tensor != nullptr && tensor->dtype == DType::kI32);
    std::vector<int32_t> values(tensor->NumElements());
    std::memcpy(values.data(), tensor->bytes.data(), tensor->bytes.size());
    return values;
  }
  std::vector<float> Floats(const std::string& name) const {
    const TensorInfo* tensor = file_.Find(name);
    QWEN25_CHECK(tensor != nullptr);
    std::vector<float> values(tensor->NumElements());
    QWEN25_CHECK(CopyToFloat(*tensor, 0, values, true).ok());
    return values;
  }

 private:
  SafetensorsReader file_;
};

}  // namespace qwen25

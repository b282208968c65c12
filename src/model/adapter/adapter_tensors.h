// Pairs the tensors of an adapter's file, whatever the format.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "model/adapter/adapter.h"
#include "model/config.h"
#include "model/parameter_set.h"

namespace qwen25 {

// One of the two factors of a matrix's change, as a file has it.
struct AdapterTensor {
  std::string name;             // in the file
  std::vector<uint64_t> shape;  // slowest first
  bool transposed = false;      // the file has the columns of the factor as rows
  // Reads all numbers in float32, in the order of the file.
  std::function<Status(std::span<float> out)> read;
};

class AdapterTensors {
 public:
  // Of an adapter in the file or folder `origin`, for a model of that configuration.
  AdapterTensors(std::string origin, const ModelConfig& config)
      : origin_(std::move(origin)), parameters_(AdaptableParameters(config)), config_(config) {}

  // Takes factor up ([rows, rank]) or down ([rank, columns]) of a parameter's change. kInvalidArgument if the
  // model has no such matrix, or the factor came before.
  Status Add(const std::string& parameter, bool is_up, AdapterTensor tensor);

  // Reads all pairs; `scale_of` gives what multiplies up * down. kInvalidArgument, with wanted and found, if
  // a factor is missing or its shape does not fit; kCorrupt for numbers that are not finite.
  using ScaleOf = std::function<Result<double>(const std::string& parameter, size_t rank)>;
  Result<Adapter> Read(const ScaleOf& scale_of) const;

 private:
  struct Pair {
    std::optional<AdapterTensor> up, down;
  };
  Result<AdapterMatrix> ReadPair(const NamedParameter& named, const Pair& pair,
                                 const ScaleOf& scale_of) const;
  // Reads a factor [rows, cols].
  Result<std::vector<float>> ReadFactor(const AdapterTensor& tensor, size_t rows, size_t cols) const;

  const std::string origin_;
  const std::vector<NamedParameter> parameters_;
  const ModelConfig& config_;
  std::map<std::string, Pair, std::less<>> pairs_;  // by parameter
};

}  // namespace qwen25

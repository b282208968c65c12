#include "model/adapter/adapter_tensors.h"

#include <algorithm>
#include <utility>

#include "base/all_finite.h"
#include "model/weights_reader.h"

namespace qwen25 {

Status AdapterTensors::Add(const std::string& parameter, bool is_up, AdapterTensor tensor) {
  if (std::ranges::find(parameters_, parameter, &NamedParameter::name) == parameters_.end()) {
    return InvalidArgument(
        "{}: tensor {} changes {}, which a {} model of {} layers does not have, or which adapters cannot "
        "change here; they can change the embedding, q, k, v, o, gate, up, down and the output projection",
        origin_, tensor.name, parameter, config_.model_type, config_.num_hidden_layers);
  }
  Pair& pair = pairs_[parameter];
  std::optional<AdapterTensor>& place = is_up ? pair.up : pair.down;
  if (place) {
    return InvalidArgument("{}: tensors {} and {} are the same factor of {}, expected one", origin_,
                           place->name, tensor.name, parameter);
  }
  place = std::move(tensor);
  return {};
}

Result<std::vector<float>> AdapterTensors::ReadFactor(const AdapterTensor& tensor, size_t rows,
                                                      size_t cols) const {
  std::vector<float> numbers(rows * cols);
  if (const Status status = tensor.read(numbers); !status.ok()) {
    return Status(status.code(), fmt::format("{}: {}", origin_, status.message()));
  }
  if (!tensor.transposed) return numbers;
  std::vector<float> turned(numbers.size());
  for (size_t i = 0; i < rows; ++i) {
    for (size_t j = 0; j < cols; ++j) turned[i * cols + j] = numbers[j * rows + i];
  }
  return turned;
}

Result<AdapterMatrix> AdapterTensors::ReadPair(const NamedParameter& named, const Pair& pair,
                                               const ScaleOf& scale_of) const {
  if (!pair.up || !pair.down) {
    return InvalidArgument("{}: holds {}, but not the other factor of the change of {}", origin_,
                           pair.up ? pair.up->name : pair.down->name, named.name);
  }
  const auto turned = [](uint64_t rows, uint64_t cols, bool transposed) {
    return transposed ? std::vector<uint64_t>{cols, rows} : std::vector<uint64_t>{rows, cols};
  };
  const uint64_t rows = named.parameter.rows, cols = named.parameter.cols;
  const AdapterTensor &up = *pair.up, &down = *pair.down;
  const uint64_t rank = down.shape.size() != 2 ? 0 : down.shape[down.transposed ? 1 : 0];
  if (rank == 0 || down.shape != turned(rank, cols, down.transposed)) {
    return InvalidArgument(
        "{}: {} has shape {}, expected the rank and {} for {}; the adapter was made for another model",
        origin_, down.name, ShapeText(down.shape), cols, named.name);
  }
  if (up.shape != turned(rows, rank, up.transposed)) {
    return InvalidArgument(
        "{}: {} has shape {}, expected {} for {} at rank {}, which {} has; the adapter was made for another "
        "model, or the file is damaged",
        origin_, up.name, ShapeText(up.shape), ShapeText(turned(rows, rank, up.transposed)), named.name, rank,
        down.name);
  }
  AdapterMatrix matrix = {.parameter = named.name, .rank = static_cast<size_t>(rank), .up = {}, .down = {}};
  QWEN25_TRY(const double scale, scale_of(named.name, matrix.rank));
  QWEN25_TRY(matrix.up, ReadFactor(up, rows, matrix.rank));
  QWEN25_TRY(matrix.down, ReadFactor(down, matrix.rank, cols));
  for (float& number : matrix.up) number = static_cast<float>(scale * number);
  if (!AllFinite(matrix.up) || !AllFinite(matrix.down)) {
    return Corrupt(
        "{}: the change of {} holds numbers that are not finite, at a scale of {}; get the file again, or "
        "give a smaller scale",
        origin_, named.name, scale);
  }
  return matrix;
}

Result<Adapter> AdapterTensors::Read(const ScaleOf& scale_of) const {
  Adapter adapter = {.origin = origin_, .matrices = {}};
  for (const NamedParameter& named : parameters_) {
    const auto pair = pairs_.find(named.name);
    if (pair == pairs_.end()) continue;
    QWEN25_TRY(AdapterMatrix matrix, ReadPair(named, pair->second, scale_of));
    adapter.matrices.push_back(std::move(matrix));
  }
  if (adapter.matrices.empty()) return InvalidArgument("{}: holds no tensors of an adapter", origin_);
  return adapter;
}

}  // namespace qwen25

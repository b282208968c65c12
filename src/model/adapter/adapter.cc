#include "model/adapter/adapter.h"

#include <algorithm>
#include <set>

#include "model/model.h"

namespace qwen25 {

const AdapterMatrix* Adapter::Find(std::string_view parameter) const {
  const auto found = std::ranges::find(matrices, parameter, &AdapterMatrix::parameter);
  return found == matrices.end() ? nullptr : &*found;
}

std::vector<NamedParameter> AdaptableParameters(const ModelConfig& config) {
  std::vector<NamedParameter> parameters = Model::ParametersOf(config);
  std::erase_if(parameters, [](const NamedParameter& named) {
    return named.is_vector || named.name.ends_with("self_attn.head_gate.weight");
  });
  if (config.tie_word_embeddings) {
    NamedParameter head = parameters.front();
    head.name = "lm_head.weight";
    parameters.push_back(std::move(head));
  }
  return parameters;
}

Status CheckAdapterFits(const Adapter& adapter, const ModelConfig& config) {
  const std::vector<NamedParameter> parameters = AdaptableParameters(config);
  std::set<std::string_view> seen;
  for (const AdapterMatrix& matrix : adapter.matrices) {
    const auto named = std::ranges::find(parameters, matrix.parameter, &NamedParameter::name);
    if (named == parameters.end()) {
      return InvalidArgument("{}: changes {}, which a {} model of {} layers does not have", adapter.origin,
                             matrix.parameter, config.model_type, config.num_hidden_layers);
    }
    const size_t rows = named->parameter.rows, cols = named->parameter.cols;
    if (matrix.rank == 0 || matrix.up.size() != rows * matrix.rank ||
        matrix.down.size() != matrix.rank * cols) {
      return InvalidArgument(
          "{}: the change of {} has {} and {} numbers at rank {}, expected a rank of at least 1 times {} and "
          "times {}; the adapter was made for another model",
          adapter.origin, matrix.parameter, matrix.up.size(), matrix.down.size(), matrix.rank, rows, cols);
    }
    if (!seen.insert(matrix.parameter).second) {
      return InvalidArgument("{}: changes {} twice, expected once", adapter.origin, matrix.parameter);
    }
  }
  return {};
}

Hash128 HashAdapters(std::span<const Adapter> adapters) {
  std::vector<Hash128> hashes;
  for (const Adapter& adapter : adapters) {
    for (const AdapterMatrix& matrix : adapter.matrices) {
      hashes.push_back(HashBytes128(std::as_bytes(std::span(matrix.parameter))));
      hashes.push_back(HashBytes128(std::as_bytes(std::span(matrix.up))));
      hashes.push_back(HashBytes128(std::as_bytes(std::span(matrix.down))));
    }
  }
  return hashes.empty() ? Hash128() : CombineHashes(hashes);
}

}  // namespace qwen25

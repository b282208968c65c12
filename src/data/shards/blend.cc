#include "data/shards/blend.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace qwen25 {

Result<BlendedLoader> BlendedLoader::Open(const std::vector<BlendSource>& sources,
                                          const LoaderOptions& options) {
  if (sources.empty()) return InvalidArgument("a blend needs at least one source");
  BlendedLoader blend;
  double sum = 0;
  for (size_t i = 0; i < sources.size(); ++i) {
    const double weight = sources[i].weight;
    if (!(weight > 0) || !std::isfinite(weight)) {
      return InvalidArgument("the weight of source {} is {}, expected a positive number", i + 1, weight);
    }
    QWEN25_TRY(Loader loader, Loader::Open(sources[i].prefixes, options));
    blend.loaders_.push_back(std::move(loader));
    blend.weights_.push_back(weight);
    sum += weight;
  }
  for (double& weight : blend.weights_) weight /= sum;
  blend.counts_.resize(sources.size());
  return blend;
}

Result<LoaderBatch> BlendedLoader::Next() {
  size_t source = 0;
  double greatest = 0;
  for (size_t i = 0; i < loaders_.size(); ++i) {
    const double lag = weights_[i] * static_cast<double>(num_batches_ + 1) - static_cast<double>(counts_[i]);
    if (i == 0 || lag > greatest) {
      source = i;
      greatest = lag;
    }
  }
  QWEN25_TRY(const LoaderBatch batch, loaders_[source].Next());
  ++counts_[source];
  ++num_batches_;
  return batch;
}

Json BlendedLoader::State() const {
  Json sources = Json::array();
  for (size_t i = 0; i < loaders_.size(); ++i) {
    sources.push_back({{"weight", weights_[i]}, {"batches", counts_[i]}, {"place", loaders_[i].State()}});
  }
  return {{"blend", std::move(sources)}};
}

Status BlendedLoader::SetState(const Json& state) {
  const auto sources = state.is_object() ? state.find("blend") : state.end();
  if (sources == state.end() || !sources->is_array() || sources->size() != loaders_.size()) {
    return InvalidArgument(
        "the loader's state is not that of a blend of {} sources; give the data and the "
        "weights of the run that is continued",
        loaders_.size());
  }
  const Json before = State();
  std::vector<uint64_t> counts(loaders_.size());
  Status status;
  for (size_t i = 0; i < loaders_.size() && status.ok(); ++i) {
    const std::string origin = fmt::format("the loader's state, source {}", i + 1);
    const Json& source = (*sources)[i];
    double weight = 0;
    Json place;
    status = ReadField(source, "weight", origin, weight);
    if (status.ok()) status = ReadField(source, "batches", origin, counts[i]);
    if (status.ok() && weight != weights_[i]) {
      status = InvalidArgument("{}: its share was {} of the rows and is now {}", origin, weight, weights_[i]);
    }
    if (status.ok() && !source.contains("place")) status = InvalidArgument("{} has no place", origin);
    if (status.ok()) status = loaders_[i].SetState(source["place"]);
    if (!status.ok() && i > 0) {  // the sources before go back to where they were
      for (size_t j = 0; j < i; ++j) QWEN25_CHECK(loaders_[j].SetState(before["blend"][j]["place"]).ok());
    }
  }
  QWEN25_RETURN_IF_ERROR(status);
  counts_ = std::move(counts);
  num_batches_ = std::accumulate(counts_.begin(), counts_.end(), uint64_t{0});
  return {};
}

void BlendedLoader::Rewind() {
  for (Loader& loader : loaders_) loader.Rewind();
  std::fill(counts_.begin(), counts_.end(), 0);
  num_batches_ = 0;
}

}  // namespace qwen25

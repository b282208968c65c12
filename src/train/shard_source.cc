#include "train/shard_source.h"

#include <algorithm>

#include "data/shards/blend.h"
#include "data/shards/loader.h"
#include "train/validation.h"

namespace qwen25 {
namespace {

namespace fs = std::filesystem;

constexpr const char* kTokenizerFiles[] = {
    "tokenizer.json",          "tokenizer_config.json", "vocab.json",          "merges.txt",
    "special_tokens_map.json", "added_tokens.json",     "chat_template.jinja", "generation_config.json"};

// Appends `from` to `to`, within its capacity.
void Append(const LoaderBatch& from, PackedBatch& to) {
  const auto base = static_cast<int32_t>(to.tokens.size());
  to.tokens.insert(to.tokens.end(), from.tokens.begin(), from.tokens.end());
  to.positions.insert(to.positions.end(), from.positions.begin(), from.positions.end());
  to.targets.insert(to.targets.end(), from.targets.begin(), from.targets.end());
  if (!to.sequence_starts.empty()) to.sequence_starts.pop_back();  // the end of the earlier rows
  for (const int32_t start : from.sequence_starts) to.sequence_starts.push_back(base + start);
}

void Clear(PackedBatch& batch, size_t num_tokens) {
  for (auto* list : {&batch.tokens, &batch.positions, &batch.targets, &batch.sequence_starts}) {
    list->clear();
    list->reserve(num_tokens + 1);
  }
}

// Training rows. The loader gives one row at a time, so that the rows do not depend on the micro-batches.
template <typename AnyLoader>
class TrainingShards : public BatchSource {
 public:
  explicit TrainingShards(AnyLoader loader) : loader_(std::move(loader)) {}

  Status Next(size_t num_tokens, PackedBatch& batch) override {
    Clear(batch, num_tokens);
    while (batch.tokens.size() < num_tokens) {
      QWEN25_TRY(const LoaderBatch row, loader_.Next());
      Append(row, batch);
    }
    return {};
  }
  void Rewind() override { loader_.Rewind(); }
  Json State() const override { return loader_.State(); }
  Status Restore(const Json& state) override { return loader_.SetState(state); }

 private:
  AnyLoader loader_;
};

class ValidationShards : public BatchSource {
 public:
  explicit ValidationShards(ValidationBatches batches) : batches_(std::move(batches)) {}

  Status Next(size_t num_tokens, PackedBatch& batch) override {
    Clear(batch, num_tokens);
    QWEN25_TRY(const LoaderBatch next, batches_.Next());
    if (!next.tokens.empty()) Append(next, batch);
    return {};
  }
  void Rewind() override { batches_.Reset(); }
  Json State() const override { return batches_.State(); }
  Status Restore(const Json& state) override { return batches_.CheckState(state); }

 private:
  ValidationBatches batches_;
};

}  // namespace

Result<std::vector<fs::path>> TokenizerFilesIn(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const char* name : kTokenizerFiles) {
    std::error_code ignored;
    if (const fs::path file = folder / name; fs::exists(file, ignored)) files.push_back(file);
  }
  if (files.empty())
    return NotFound("{}: holds no tokenizer files, expected tokenizer.json", folder.string());
  return files;
}

Result<TrainData> OpenTrainData(const TrainOptions& options, uint32_t vocab_size) {
  QWEN25_RETURN_IF_ERROR(options.Validate());
  LoaderOptions loader_options;
  loader_options.sequence_length = options.sequence_length;
  loader_options.sequences_per_batch = 1;
  loader_options.seed = options.seed;
  loader_options.vocab_size = vocab_size;
  TrainData data;
  if (options.train_weights.empty()) {
    QWEN25_TRY(Loader loader, Loader::Open(options.train_data, loader_options));
    data.train = std::make_unique<TrainingShards<Loader>>(std::move(loader));
  } else {
    std::vector<BlendSource> sources;
    for (size_t i = 0; i < options.train_data.size(); ++i) {
      sources.push_back({{options.train_data[i]}, options.train_weights[i]});
    }
    QWEN25_TRY(BlendedLoader blend, BlendedLoader::Open(sources, loader_options));
    data.train = std::make_unique<TrainingShards<BlendedLoader>>(std::move(blend));
  }
  if (!options.validation_data.empty()) {
    loader_options.sequences_per_batch =
        std::max<size_t>(1, kValidationBatchTokens / options.sequence_length);
    QWEN25_TRY(ValidationBatches validation,
               ValidationBatches::Open(options.validation_data, loader_options));
    data.validation = std::make_unique<ValidationShards>(std::move(validation));
  }
  if (!options.tokenizer.empty()) {
    QWEN25_TRY(data.tokenizer_files, TokenizerFilesIn(options.tokenizer));
  }
  return data;
}

}  // namespace qwen25

#include "train/shard_source.h"

#include <string>
#include <vector>

#include "base/rng.h"
#include "store/indexed_dataset.h"
#include "train/trainer_test_util.h"

namespace qwen25 {
namespace {

// Documents of 2 to 90 tokens that follow the rule of RandomWalkSource.
void WriteShard(const std::string& prefix, uint64_t seed, size_t num_documents) {
  ASSERT_OK_AND_ASSIGN(IndexedDatasetWriter writer, IndexedDatasetWriter::Create(prefix, kTinyVocabulary));
  Rng rng(seed);
  for (size_t document = 0; document < num_documents; ++document) {
    std::vector<int32_t> tokens = {static_cast<int32_t>(rng.Below(kTinyVocabulary))};
    for (uint64_t length = 2 + rng.Below(89); tokens.size() < length;) {
      tokens.push_back((tokens.back() * 7 + 3) % static_cast<int32_t>(kTinyVocabulary));
    }
    ASSERT_OK(writer.AddDocument(tokens));
  }
  ASSERT_OK(writer.Finish());
}

class ShardSourceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    options_ = TinyOptions(directory_);
    options_.train_data = {directory_ / "train"};
    options_.validation_data = {directory_ / "validation"};
    WriteShard(options_.train_data[0], 1, 200);
    WriteShard(options_.validation_data[0], 2, 20);
  }

  Result<TrainSummary> Run(const TrainOptions& options, size_t num_threads, uint64_t stop_after = 0) {
    QWEN25_TRY(TrainData data, OpenTrainData(options, kTinyVocabulary));
    ThreadPool threads(num_threads);
    QWEN25_TRY(const auto trainer, Trainer::Create(options, std::move(data), threads));
    std::atomic<bool> stop = false;
    TrainCallbacks callbacks;
    callbacks.stop = &stop;
    callbacks.on_step = [&](const StepMetrics& metrics) { stop = metrics.step == stop_after; };
    return trainer->Run(callbacks);
  }

  TemporaryDirectory directory_;
  TrainOptions options_;
};

TEST_F(ShardSourceTest, ARunOnShardsResumesBitIdentically) {
  TrainOptions whole = options_, parts = options_;
  whole.output = directory_ / "whole";
  parts.output = directory_ / "parts";
  whole.max_steps = parts.max_steps = 40;
  parts.resume = true;
  ASSERT_OK_AND_ASSIGN(const TrainSummary summary, Run(whole, 2));
  EXPECT_LT(summary.last_validation->loss, 3.0);
  for (const uint64_t stop_after : {3, 17}) ASSERT_OK(Run(parts, 1, stop_after));
  ASSERT_OK(Run(parts, 3));
  const MetricsHistory a = *ReadMetrics(whole.output + "/metrics.jsonl"),
                       b = *ReadMetrics(parts.output + "/metrics.jsonl");
  ASSERT_EQ(a.steps.size(), 40u);
  ASSERT_EQ(b.steps.size(), 40u);
  for (size_t i = 0; i < 40; ++i) EXPECT_EQ(a.steps[i].loss, b.steps[i].loss) << "step " << i + 1;
  ASSERT_EQ(a.validations.size(), b.validations.size());
  for (size_t i = 0; i < a.validations.size(); ++i) EXPECT_EQ(a.validations[i].loss, b.validations[i].loss);
}

TEST_F(ShardSourceTest, AWeightedRunResumesBitIdenticallyAndKeepsItsWeights) {
  TrainOptions whole = options_, parts = options_;
  whole.train_data = parts.train_data = {directory_ / "train", directory_ / "validation"};
  whole.train_weights = parts.train_weights = {1, 3};
  whole.output = directory_ / "whole";
  parts.output = directory_ / "parts";
  parts.resume = true;
  ASSERT_OK(Run(whole, 2));
  ASSERT_OK(Run(parts, 1, 5));
  TrainOptions changed = parts;
  changed.train_weights = {1, 2};
  EXPECT_ERROR_CONTAINS(Run(changed, 1), "data.train_weights was [1.0,3.0] and is now [1.0,2.0]");
  ASSERT_OK(Run(parts, 1));
  const MetricsHistory a = *ReadMetrics(whole.output + "/metrics.jsonl"),
                       b = *ReadMetrics(parts.output + "/metrics.jsonl");
  ASSERT_EQ(a.steps.size(), b.steps.size());
  for (size_t i = 0; i < a.steps.size(); ++i) EXPECT_EQ(a.steps[i].loss, b.steps[i].loss) << "step " << i + 1;
}

TEST_F(ShardSourceTest, AnySplitIntoMicroBatchesHasTheSameRows) {
  ASSERT_OK_AND_ASSIGN(const TrainData one, OpenTrainData(options_));
  ASSERT_OK_AND_ASSIGN(const TrainData two, OpenTrainData(options_));
  PackedBatch whole, part;
  ASSERT_OK(one.train->Next(128, whole));
  ASSERT_EQ(whole.tokens.size(), 128u);
  ASSERT_EQ(whole.sequence_starts.front(), 0);
  ASSERT_EQ(whole.sequence_starts.back(), 128);
  for (size_t begin = 0; begin < 128; begin += 64) {
    ASSERT_OK(two.train->Next(64, part));
    EXPECT_TRUE(std::equal(part.tokens.begin(), part.tokens.end(), whole.tokens.begin() + begin));
    EXPECT_TRUE(std::equal(part.targets.begin(), part.targets.end(), whole.targets.begin() + begin));
    EXPECT_TRUE(std::equal(part.positions.begin(), part.positions.end(), whole.positions.begin() + begin));
  }
  // Positions count from each sequence's start.
  for (size_t s = 0; s + 1 < whole.sequence_starts.size(); ++s) {
    for (int32_t i = whole.sequence_starts[s]; i < whole.sequence_starts[s + 1]; ++i) {
      ASSERT_EQ(whole.positions[i], i - whole.sequence_starts[s]);
    }
  }
}

TEST_F(ShardSourceTest, AValidationPassEndsAndRepeats) {
  ASSERT_OK_AND_ASSIGN(const TrainData data, OpenTrainData(options_));
  PackedBatch batch;
  size_t tokens[2] = {};
  for (size_t& count : tokens) {
    data.validation->Rewind();
    do {
      ASSERT_OK(data.validation->Next(kValidationBatchTokens, batch));
      count += batch.tokens.size();
    } while (!batch.tokens.empty());
  }
  EXPECT_GT(tokens[0], 100u);
  EXPECT_EQ(tokens[0], tokens[1]);
}

TEST_F(ShardSourceTest, MissingAndForeignDataIsNamed) {
  TrainOptions options = options_;
  options.train_data = {directory_ / "nothing"};
  EXPECT_ERROR_CONTAINS(OpenTrainData(options), "nothing.");
  EXPECT_ERROR_CONTAINS(Run(
                            [&] {
                              TrainOptions small = options_;
                              small.vocab_size = 30;
                              return small;
                            }(),
                            1),
                        "vocab");
  options = options_;
  options.tokenizer = directory_.path();
  EXPECT_ERROR_CONTAINS(OpenTrainData(options), "expected tokenizer.json");
  ASSERT_OK(WriteFileAtomically(directory_ / "tokenizer.json", "{}"));
  EXPECT_EQ(OpenTrainData(options)->tokenizer_files.size(), 1u);
}

// Every token becomes another one; no count changes.
void ChangeTokens(const std::string& prefix) {
  ASSERT_OK_AND_ASSIGN(std::string bin, ReadFile(prefix + ".bin"));
  for (size_t i = 0; i < bin.size(); i += 2) bin[i] = static_cast<char>((bin[i] + 1) % int{kTinyVocabulary});
  ASSERT_OK(WriteFileAtomically(prefix + ".bin", bin));
  std::filesystem::remove(prefix + ".sum");  // as if another program had written the shard
}

TEST_F(ShardSourceTest, ARunDoesNotResumeOnOtherData) {
  TrainOptions options = options_;
  ASSERT_OK(Run(options, 1, 2));
  options.resume = true;
  const TrainOptions good = options;
  ChangeTokens(options.train_data[0]);
  EXPECT_ERROR_CONTAINS(
      Run(options, 1), "train is not the shard that the run has read in this place: its tokens or documents");
  WriteShard(options.train_data[0], 3, 150);
  EXPECT_ERROR_CONTAINS(Run(options, 1), "num_documents is 200, here it is 150");
  WriteShard(options.train_data[0], 1, 200);
  // The same content under another name, and without a .sum, is the same data.
  for (const char* extension : {".bin", ".idx"}) {
    std::filesystem::copy(options.train_data[0] + extension, directory_ / "copy" + extension);
  }
  options.train_data = {directory_ / "copy"};
  ASSERT_OK(Run(options, 1, 4));
  ChangeTokens(options.validation_data[0]);
  EXPECT_ERROR_CONTAINS(Run(good, 1), "the validation data: ");
  TrainOptions without = good;  // a session without it forgets nothing
  without.validation_data.clear();
  ASSERT_OK(Run(without, 1, 5));
  EXPECT_ERROR_CONTAINS(Run(good, 1), "the validation data: ");
  WriteShard(options.validation_data[0], 2, 20);
  ASSERT_OK(Run(good, 1));
}

TEST_F(ShardSourceTest, ARunDoesNotResumeOnShardsInAnotherOrderOrOtherPartsOfABlend) {
  for (const bool blend : {false, true}) {
    TrainOptions options = options_;
    options.output = directory_ / (blend ? "blend" : "corpus");
    options.train_data = {directory_ / "a", directory_ / "b"};
    // Of one size each, so that no count tells them apart.
    WriteShard(options.train_data[0], 11, 50);
    std::filesystem::copy(options.train_data[0] + ".idx", options.train_data[1] + ".idx",
                          std::filesystem::copy_options::overwrite_existing);
    std::filesystem::copy(options.train_data[0] + ".bin", options.train_data[1] + ".bin",
                          std::filesystem::copy_options::overwrite_existing);
    ChangeTokens(options.train_data[1]);
    if (blend) options.train_weights = {1, 1};
    ASSERT_OK(Run(options, 1, 2));
    options.resume = true;
    TrainOptions changed = options;
    std::swap(changed.train_data[0], changed.train_data[1]);
    EXPECT_ERROR_CONTAINS(Run(changed, 1), "is not the shard that the run has read in this place");
    ASSERT_OK(Run(options, 1, 3));
    ChangeTokens(options.train_data[1]);
    EXPECT_ERROR_CONTAINS(Run(options, 1), "b is not the shard that the run has read in this place");
  }
}

TEST_F(ShardSourceTest, ARunDoesNotResumeWithAnotherLossMask) {
  const std::string mask = options_.train_data[0] + ".loss_mask";
  const auto write_mask = [&](int32_t every) {
    ASSERT_OK_AND_ASSIGN(const IndexedDataset shard, IndexedDataset::Open(options_.train_data[0]));
    ASSERT_OK_AND_ASSIGN(IndexedDatasetWriter writer, IndexedDatasetWriter::Create(mask, 2));
    for (uint64_t i = 0; i < shard.num_documents(); ++i) {
      std::vector<int32_t> marks(shard.DocumentLength(i));
      for (size_t t = 0; t < marks.size(); ++t) marks[t] = static_cast<int32_t>(t) % every == 0;
      ASSERT_OK(writer.AddDocument(marks));
    }
    ASSERT_OK(writer.Finish());
  };
  write_mask(2);
  TrainOptions options = options_;
  ASSERT_OK(Run(options, 1, 2));
  options.resume = true;
  write_mask(3);
  EXPECT_ERROR_CONTAINS(Run(options, 1), "train.loss_mask is not the shard that the run has read");
  write_mask(2);
  ASSERT_OK(Run(options, 1, 3));
}

TEST_F(ShardSourceTest, ADamagedShardIsNotTrainedOn) {
  std::string bin = *ReadFile(options_.train_data[0] + ".bin");
  bin[bin.size() / 2] ^= 1;
  ASSERT_OK(WriteFileAtomically(options_.train_data[0] + ".bin", bin));
  EXPECT_ERROR_CONTAINS(OpenTrainData(options_), "train.sum says");
  std::filesystem::remove(options_.train_data[0] + ".sum");
  EXPECT_OK(OpenTrainData(options_));
}

TEST_F(ShardSourceTest, ARunOfBeforeThereWereSumsGoesOn) {
  TrainOptions options = options_;
  ASSERT_OK(Run(options, 1, 2));
  ASSERT_OK_AND_ASSIGN(const TrainData data, OpenTrainData(options));
  Json state = data.train->State();
  state.erase("shards");
  EXPECT_OK(data.train->Restore(state));
  EXPECT_OK(data.validation->Restore(Json()));
  EXPECT_OK(data.validation->Restore(data.validation->State()));
}

TEST_F(ShardSourceTest, ARunDoesNotResumeWithAnotherTokenizer) {
  TrainOptions options = options_;
  options.tokenizer = directory_.path();
  ASSERT_OK(WriteFileAtomically(directory_ / "tokenizer.json", R"({"model": {"a": 0, "b": 1}})"));
  ASSERT_OK(WriteFileAtomically(directory_ / "chat_template.jinja", "{{ messages }}"));
  ASSERT_OK(Run(options, 1, 2));
  options.resume = true;
  ASSERT_OK(WriteFileAtomically(directory_ / "tokenizer.json", R"({"model": {"a": 1, "b": 0}})"));
  EXPECT_ERROR_CONTAINS(Run(options, 1), "tokenizer.json is not the tokenizer that the run began with");
  // Other white space and another template change no token.
  ASSERT_OK(WriteFileAtomically(directory_ / "tokenizer.json", R"({ "model": { "a": 0, "b": 1 } })"));
  ASSERT_OK(WriteFileAtomically(directory_ / "chat_template.jinja", "{{ bos }}{{ messages }}"));
  ASSERT_OK(Run(options, 1, 3));
}

}  // namespace
}  // namespace qwen25

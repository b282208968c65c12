#include "train/checkpoint.h"

#include <fstream>

#include "base/hash.h"
#include "train/trainer_test_util.h"

namespace qwen25 {
namespace {

namespace fs = std::filesystem;

// A model, an optimiser after two steps, and a state.
class CheckpointTest : public ::testing::Test {
 protected:
  CheckpointTest()
      : model_(TinyModel()),
        gradients_(model_.parameter_set()),
        optimizer_(model_.parameter_set(), gradients_, {.kind = OptimizerKind::kMuon}, threads_) {
    model_.Initialize(1);
    Rng rng(2);
    for (int step = 0; step < 2; ++step) {
      for (float& gradient : gradients_.values()) gradient = static_cast<float>(rng.Normal());
      optimizer_.Step(1.0, optimizer_.GradientNorm());
    }
    state_.step = 2;
    state_.tokens = 1000;
    state_.seconds = 1.0 / 3;
    state_.planned_steps = 50;
    state_.best_validation_loss = 2.0 / 3;
    state_.best_validation_step = 1;
    state_.loader = {{"cursor", {1, 2, 3}}, {"epoch", 0}};
    state_.options = {{"run.seed", 5}};
  }

  Status Save(uint64_t step, uint32_t keep = 10) {
    state_.step = step;
    return store_.Save(model_, optimizer_, state_, tokenizer_files_, keep);
  }
  fs::path Latest() {
    const auto latest = store_.Latest();
    EXPECT_OK(latest);
    return latest->value_or("none").filename();
  }

  TemporaryDirectory directory_;
  ThreadPool threads_{1};
  Model model_;
  Gradients gradients_;
  Optimizer optimizer_;
  TrainerState state_;
  CheckpointStore store_{directory_.path()};
  std::vector<fs::path> tokenizer_files_;
};

TEST_F(CheckpointTest, EverythingReadsBack) {
  const std::string tokenizer = directory_ / "tokenizer.json";
  ASSERT_OK(WriteFileAtomically(tokenizer, "{\"a tokenizer\": 1}"));
  tokenizer_files_ = {tokenizer};
  ASSERT_OK(Save(2));
  const fs::path path = store_.PathOf(2);
  EXPECT_EQ(*ReadFile(path / "tokenizer.json"), "{\"a tokenizer\": 1}");
  ASSERT_OK_AND_ASSIGN(const TrainerState state, ReadTrainerState(path));
  EXPECT_EQ(state.step, 2u);
  EXPECT_EQ(state.tokens, 1000u);
  EXPECT_EQ(state.seconds, 1.0 / 3);
  EXPECT_EQ(state.planned_steps, 50u);
  EXPECT_EQ(state.best_validation_loss, 2.0 / 3);
  EXPECT_EQ(state.best_validation_step, 1u);
  EXPECT_EQ(state.loader, state_.loader);
  EXPECT_EQ(state.options, state_.options);
  ASSERT_OK_AND_ASSIGN(const Model model, Model::Load(path));
  const Gradients gradients(model.parameter_set());
  Optimizer optimizer(model.parameter_set(), gradients, {.kind = OptimizerKind::kMuon}, threads_);
  ASSERT_OK(ReadOptimizerState(path, optimizer));
  EXPECT_EQ(optimizer.num_steps(), 2u);
  ASSERT_EQ(optimizer.state().size(), optimizer_.state().size());
  for (size_t i = 0; i < optimizer.state().size(); ++i) {
    EXPECT_TRUE(std::ranges::equal(optimizer.state()[i].values, optimizer_.state()[i].values));
  }
  EXPECT_OK(CheckSameModel(path, TinyModel()));
}

TEST_F(CheckpointTest, TheNewestStayAndLatestNamesOne) {
  for (const uint64_t step : {9, 10, 100, 101}) ASSERT_OK(Save(step, 2));
  EXPECT_EQ(*store_.Steps(), (std::vector<uint64_t>{100, 101}));
  EXPECT_EQ(*ReadFile(directory_ / "latest"), "checkpoint-101\n");
  EXPECT_EQ(Latest(), "checkpoint-101");
  ASSERT_OK(Save(101, 2));  // again: replaced
  EXPECT_EQ(*store_.Steps(), (std::vector<uint64_t>{100, 101}));
}

TEST_F(CheckpointTest, ACrashAtAnyInstantLeavesARunThatResumes) {
  EXPECT_EQ(Latest(), "none");
  EXPECT_OK(CheckpointStore(directory_ / "missing").Latest());
  ASSERT_OK(Save(5));
  // While the next one is being written: a temporary folder with some of its files.
  fs::create_directories(directory_ / "checkpoint-6.tmp");
  ASSERT_OK(WriteFileAtomically(directory_ / "checkpoint-6.tmp/model.safetensors", "half"));
  fs::create_directories(directory_ / "checkpoint-4.old");  // and an older one while it was removed
  EXPECT_EQ(Latest(), "checkpoint-5");
  // Renamed, but `latest` not written yet: the older one is complete too.
  ASSERT_OK(Save(6));
  EXPECT_FALSE(fs::exists(directory_ / "checkpoint-6.tmp"));
  EXPECT_FALSE(fs::exists(directory_ / "checkpoint-4.old"));
  ASSERT_OK(WriteFileAtomically(directory_ / "latest", "checkpoint-5\n"));
  EXPECT_EQ(Latest(), "checkpoint-5");
  EXPECT_OK(ReadTrainerState(store_.PathOf(5)));
  // The very first one renamed, `latest` never written.
  fs::remove(directory_ / "latest");
  EXPECT_EQ(Latest(), "checkpoint-6");
  // `latest` names one that is gone, or nonsense.
  for (const char* name : {"checkpoint-77\n", "checkpoint-x", "", "../checkpoint-6"}) {
    ASSERT_OK(WriteFileAtomically(directory_ / "latest", name));
    EXPECT_EQ(Latest(), "checkpoint-6");
  }
}

TEST_F(CheckpointTest, MissingTornAndTamperedFilesAreNamed) {
  ASSERT_OK(Save(2));
  const fs::path path = store_.PathOf(2);
  for (const char* name : {"model.safetensors", "optimizer.safetensors", "config.json"}) {
    const std::string whole = *ReadFile(path / name);
    fs::remove(path / name);
    EXPECT_ERROR_CONTAINS(ReadTrainerState(path), std::string(name) + ": cannot open");
    ASSERT_OK(WriteFileAtomically(path / name, std::string_view(whole).substr(0, whole.size() - 1)));
    EXPECT_ERROR_CONTAINS(ReadTrainerState(path),
                          fmt::format("{}: has {} bytes, expected {}", name, whole.size() - 1, whole.size()));
    std::string flipped = whole;
    flipped[whole.size() / 2] ^= 1;
    ASSERT_OK(WriteFileAtomically(path / name, flipped));
    EXPECT_ERROR_CONTAINS(ReadTrainerState(path), std::string(name) + ": content hash is");
    EXPECT_EQ(ReadTrainerState(path).status().code(), StatusCode::kCorrupt);
    ASSERT_OK(WriteFileAtomically(path / name, whole));
  }
  ASSERT_OK(ReadTrainerState(path));
}

TEST_F(CheckpointTest, NoDamagedStateIsReadAsAGoodOne) {
  ASSERT_OK(Save(2));
  const fs::path file = store_.PathOf(2) / "trainer_state.json";
  const std::string whole = *ReadFile(file);
  const auto read = [&](std::string_view content) {
    std::ofstream(file, std::ios::binary | std::ios::trunc) << content;
    return ReadTrainerState(store_.PathOf(2));
  };
  for (size_t size = 0; size + 1 < whole.size(); ++size) {  // without the last line end it is still whole
    EXPECT_FALSE(read(std::string_view(whole).substr(0, size)).ok()) << "cut at " << size;
  }
  for (size_t i = 0; i < whole.size(); ++i) {
    if (whole[i] == ' ' || whole[i] == '\n') continue;  // other white space is the same document
    std::string flipped = whole;
    flipped[i] ^= 4;
    EXPECT_FALSE(read(flipped).ok()) << "byte " << i;
  }
  fs::remove(file);
  EXPECT_ERROR_CONTAINS(ReadTrainerState(store_.PathOf(2)), "trainer_state.json: cannot open");
}

TEST_F(CheckpointTest, MismatchesAreNamed) {
  ASSERT_OK(Save(2));
  const fs::path path = store_.PathOf(2);
  ModelConfig other = TinyModel();
  other.num_hidden_layers = 3;
  EXPECT_ERROR_CONTAINS(CheckSameModel(path, other), "num_hidden_layers is 2 there and 3 in the options");
  Optimizer adamw(model_.parameter_set(), gradients_, {.kind = OptimizerKind::kAdamW}, threads_);
  EXPECT_ERROR_CONTAINS(ReadOptimizerState(path, adamw),
                        "holds no tensor model.layers.0.self_attn.q_proj.weight.exp_avg");
  ModelConfig wide_config = TinyModel();
  wide_config.intermediate_size = 64;
  const Model wide_model(wide_config);
  const Gradients wide_gradients(wide_model.parameter_set());
  Optimizer wide(wide_model.parameter_set(), wide_gradients, {.kind = OptimizerKind::kMuon}, threads_);
  EXPECT_ERROR_CONTAINS(ReadOptimizerState(path, wide), "has shape [48, 32], expected float32 [64, 32]");
}

TEST_F(CheckpointTest, AFailedSaveLeavesTheOlderOnesAlone) {
  ASSERT_OK(Save(5));
  tokenizer_files_ = {directory_ / "missing.json"};
  EXPECT_ERROR_CONTAINS(Save(6, 1), "missing.json: cannot open");
  EXPECT_EQ(Latest(), "checkpoint-5");
  EXPECT_EQ(*store_.Steps(), (std::vector<uint64_t>{5}));
  EXPECT_FALSE(fs::exists(directory_ / "checkpoint-6.tmp"));
  EXPECT_OK(ReadTrainerState(store_.PathOf(5)));
}

}  // namespace
}  // namespace qwen25

#include "model/packed_cache.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include "base/file.h"
#include "base/test_util.h"
#include "model/model.h"
#include "model/tiny_config_test_util.h"

namespace qwen25 {
namespace {

class PackedCacheTest : public testing::Test {
 protected:
  void SetUp() override {
    SaveModel(1);
    ASSERT_OK_AND_ASSIGN(const Model first, Load());
    wanted_ = Row(first);
    vectors_.assign(first.weights().begin(), first.weights().end());
    ASSERT_OK(first.WritePackedCache(directory_.path(), threads_));
    ASSERT_OK_AND_ASSIGN(bytes_, ReadFile(cache_));
  }
  void SaveModel(uint64_t seed) {
    Model model(TinyConfig());
    model.Initialize(seed);
    ASSERT_OK(model.Save(directory_.path()));
  }
  Result<Model> Load(bool use_cache = true) {
    return Model::LoadPacked(directory_.path(), WeightFormat::kInt8, threads_, use_cache);
  }
  static std::vector<float> Row(const Model& packed) {
    std::vector<float> out(packed.config().hidden_size);
    UnpackRow(packed.lm_head.packed, packed.lm_head.rows, packed.lm_head.cols, 7, out.data());
    return out;
  }
  // Whether loading maps the file: then nothing is left to write.
  bool IsMapped() {
    const Result<Model> model = Load();
    if (!model.ok()) return false;
    EXPECT_EQ(Row(*model), wanted_);
    EXPECT_TRUE(std::ranges::equal(model->weights(), vectors_));
    std::filesystem::remove(cache_);
    const bool written =
        model->WritePackedCache(directory_.path(), threads_).ok() && std::filesystem::exists(cache_);
    return !written;
  }
  // Overwrites a byte of a file in place, and sets its times back.
  static void FlipInPlace(const std::filesystem::path& file, uint64_t offset) {
    struct stat before;
    ASSERT_EQ(::stat(file.c_str(), &before), 0);
    const int descriptor = ::open(file.c_str(), O_RDWR);
    char byte = 0;
    ASSERT_EQ(::pread(descriptor, &byte, 1, static_cast<off_t>(offset)), 1);
    byte = static_cast<char>(byte ^ 4);
    ASSERT_EQ(::pwrite(descriptor, &byte, 1, static_cast<off_t>(offset)), 1);
    const timespec times[2] = {before.st_atim, before.st_mtim};
    ASSERT_EQ(::futimens(descriptor, times), 0);
    ::close(descriptor);
  }

  TemporaryDirectory directory_;
  ThreadPool threads_{2};
  const std::filesystem::path cache_ = directory_ / "qwen25-int8.packed";
  std::vector<float> wanted_, vectors_;
  std::string bytes_;
};

TEST_F(PackedCacheTest, GivesTheSameModelUntilTheWeightsChange) {
  {
    ASSERT_OK_AND_ASSIGN(const Model cached, Load());
    EXPECT_EQ(Row(cached), wanted_);
    EXPECT_TRUE(std::ranges::equal(cached.weights(), vectors_));
  }
  EXPECT_TRUE(IsMapped());
  // A cut or damaged file is not used, and does no harm.
  for (const size_t size : {size_t{0}, size_t{5}, bytes_.size() / 2, bytes_.size() - 1}) {
    ASSERT_OK(WriteFileAtomically(cache_, bytes_.substr(0, size)));
    ASSERT_OK_AND_ASSIGN(const Model again, Load());
    EXPECT_EQ(Row(again), wanted_) << size;
  }
  ASSERT_OK(WriteFileAtomically(cache_, bytes_));
  EXPECT_TRUE(IsMapped());
  ASSERT_OK(WriteFileAtomically(cache_, bytes_));
  SaveModel(2);
  ASSERT_OK_AND_ASSIGN(const Model changed, Load());
  EXPECT_NE(Row(changed), wanted_);
}

TEST_F(PackedCacheTest, EveryFlippedBitIsFound) {
  ASSERT_OK_AND_ASSIGN(const auto file, SafetensorsReader::Open(cache_));
  uint64_t data_bytes = 0;
  for (const TensorInfo& tensor : file.tensors()) data_bytes += tensor.bytes.size();
  const uint64_t begin = bytes_.size() - data_bytes;
  for (uint64_t offset = begin; offset < bytes_.size(); offset += 97) {
    FlipInPlace(cache_, offset);  // the state of the file tells that it must be checked again
    ASSERT_OK_AND_ASSIGN(const Model model, Load());
    ASSERT_EQ(Row(model), wanted_) << offset;
    ASSERT_TRUE(std::ranges::equal(model.weights(), vectors_)) << offset;
    FlipInPlace(cache_, offset);
  }
  EXPECT_TRUE(IsMapped());  // whole again
}

// Other weights under the old name, with the old size and the old times.
TEST_F(PackedCacheTest, OtherWeightsWithAnOldTimeAreFound) {
  const std::filesystem::path weights = directory_ / "model.safetensors";
  struct stat before;
  ASSERT_EQ(::stat(weights.c_str(), &before), 0);
  SaveModel(2);
  const timespec times[2] = {before.st_atim, before.st_mtim};
  ASSERT_EQ(::utimensat(AT_FDCWD, weights.c_str(), times, 0), 0);
  ASSERT_OK_AND_ASSIGN(const Model changed, Load());
  EXPECT_NE(Row(changed), wanted_);
}

// Once per content: a copy of the folder is checked once, then the state of its files is remembered.
TEST_F(PackedCacheTest, ACheckIsRememberedWithTheStateOfTheFiles) {
  const std::filesystem::path checked = directory_ / "qwen25-int8.packed.checked";
  ASSERT_OK_AND_ASSIGN(const std::string after_writing, ReadFile(checked));
  ASSERT_OK(WriteFileAtomically(cache_, bytes_));
  ASSERT_OK(Load());
  ASSERT_OK_AND_ASSIGN(const std::string after_checking, ReadFile(checked));
  EXPECT_NE(after_checking, after_writing);
  ASSERT_OK(Load());
  ASSERT_OK_AND_ASSIGN(const std::string again, ReadFile(checked));
  EXPECT_EQ(again, after_checking);
}

TEST_F(PackedCacheTest, IsUsedOnlyIfItIsAskedFor) {
  // A cache that states what it holds, but is of another model, would be noticed at once.
  ASSERT_OK_AND_ASSIGN(const Model model, Load(/*use_cache=*/false));
  EXPECT_EQ(Row(model), wanted_);
  std::filesystem::remove(cache_);
  ASSERT_OK(Load(/*use_cache=*/false));
  EXPECT_FALSE(std::filesystem::exists(cache_));
}

// Stores of other programs hold only their own files.
TEST(PackedCacheFolderTest, LiesOutsideOfOtherProgramsStores) {
  ::setenv("XDG_CACHE_HOME", "/cache", 1);
  const std::string snapshot = "/hf/hub/models--org--model/snapshots/abc", own = "/cache/qwen25/packed/";
  EXPECT_EQ(PackedCacheFolder(snapshot), own + "models--org--model/abc");
  EXPECT_EQ(PackedCacheFolder(snapshot + "/"), own + "models--org--model/abc");
  EXPECT_EQ(PackedCacheFolder(snapshot + "/q/m.gguf"), own + "models--org--model/abc/q/m.gguf");
  EXPECT_EQ(PackedCacheFolder("/hf/hub/models--org--model/snapshots"), own + "models--org--model");
  EXPECT_EQ(PackedCacheFolder("/ollama/blobs/sha256-12"), own + "ollama/sha256-12");
  for (const char* path :
       {"/runs/model", "/runs/model.gguf", "/models--a--b/blobs/x", "/blobs/x", "snapshots"}) {
    EXPECT_EQ(PackedCacheFolder(path), "") << path;
  }
  EXPECT_EQ(PackedCachePath("/runs/m.gguf", std::array{WeightFormat::kInt8}),
            "/runs/m.gguf.qwen25-int8.packed");
  EXPECT_EQ(PackedCachePath(snapshot + "/m.gguf", std::array{WeightFormat::kInt8}),
            own + "models--org--model/abc/m.gguf/qwen25-int8.packed");
  ::unsetenv("XDG_CACHE_HOME");
}

}  // namespace
}  // namespace qwen25

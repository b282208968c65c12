#include "pretrained/hub/hub_cache.h"

#include <gtest/gtest.h>

#include "pretrained/hub/cache_test_util.h"
#include "pretrained/hub/file_lock.h"

namespace qwen25 {
namespace {

namespace fs = std::filesystem;

class HubCacheTest : public CacheTest {};

TEST_F(HubCacheTest, NamesOfFolders) {
  EXPECT_EQ(RepositoryFolderName("Qwen/Qwen2.5-0.5B"), "models--Qwen--Qwen2.5-0.5B");
  EXPECT_EQ(RepositoryOfFolderName("models--Qwen--Qwen2.5-0.5B"), "Qwen/Qwen2.5-0.5B");
  EXPECT_EQ(RepositoryOfFolderName("models--gpt2"), "gpt2");
  for (const char* name : {"datasets--a--b", "models--", ".locks", "models--a--b--c", "models--.."}) {
    EXPECT_EQ(RepositoryOfFolderName(name), "") << name;
  }
}

// The layout that huggingface_hub reads: relative links, and references without a line end.
TEST_F(HubCacheTest, LinksAreRelativeAndReferencesBare) {
  const fs::path blob = Put("org/model", kCommitA, "1_Pooling/config.json", "{}");
  const fs::path link = cache_.Snapshot("org/model", kCommitA) / "1_Pooling" / "config.json";
  EXPECT_EQ(fs::read_symlink(link), "../../../blobs/" + blob.filename().string());
  ASSERT_OK_AND_ASSIGN(const std::string content, ReadFile(link));
  EXPECT_EQ(content, "{}");
  ASSERT_OK(cache_.WriteRef("org/model", "refs/pr/1", kCommitA));
  ASSERT_OK_AND_ASSIGN(const std::string ref,
                       ReadFile(cache_.Folder("org/model") / "refs" / "refs" / "pr" / "1"));
  EXPECT_EQ(ref, kCommitA);
  EXPECT_EQ(cache_.ReadRef("org/model", "refs/pr/1"), kCommitA);
  EXPECT_EQ(cache_.ReadRef("org/model", "main"), std::nullopt);
  ASSERT_OK(cache_.WriteRef("org/model", "refs/pr/1", kCommitB));
  EXPECT_EQ(cache_.ReadRef("org/model", "refs/pr/1"), kCommitB);
}

TEST_F(HubCacheTest, AFileThatChangedIsLinkedAnew) {
  Put("org/model", kCommitA, "config.json", "old");
  Put("org/model", kCommitA, "config.json", "new");
  ASSERT_OK_AND_ASSIGN(const std::string content,
                       ReadFile(cache_.Snapshot("org/model", kCommitA) / "config.json"));
  EXPECT_EQ(content, "new");
}

std::optional<LocalModel> Find(const HubCache& cache, const std::string& name) {
  const Result<ModelName> parsed = ModelName::Parse(name);
  const auto repository = cache.Find(parsed->repository);
  return repository ? FindModel(*repository, *parsed) : std::nullopt;
}

TEST_F(HubCacheTest, ANameMeansRefsMain) {
  PutModel("org/model", kCommitA);
  PutModel("org/model", kCommitB);
  ASSERT_OK(cache_.WriteRef("org/model", "main", kCommitA));
  ASSERT_OK(cache_.WriteRef("org/model", "v2", kCommitB));
  EXPECT_EQ(Find(cache_, "org/model")->path, cache_.Snapshot("org/model", kCommitA));
  EXPECT_EQ(Find(cache_, "org/model@v2")->path, cache_.Snapshot("org/model", kCommitB));
  EXPECT_EQ(Find(cache_, std::string("org/model@") + kCommitB)->path, cache_.Snapshot("org/model", kCommitB));
  EXPECT_FALSE(Find(cache_, "org/model@v3"));
  EXPECT_FALSE(Find(cache_, "org/model:Q4_K_M"));
  EXPECT_EQ(Find(cache_, "org/model")->format, "bfloat16");
}

// Without a reference, or if what it leads to is not whole, the newest snapshot that is.
TEST_F(HubCacheTest, ASnapshotThatIsNotWholeIsNoModel) {
  Put("org/model", kCommitA, "config.json", "{}");
  ASSERT_OK(cache_.WriteRef("org/model", "main", kCommitA));
  EXPECT_FALSE(Find(cache_, "org/model"));
  PutModel("org/model", kCommitB);
  EXPECT_EQ(Find(cache_, "org/model")->path, cache_.Snapshot("org/model", kCommitB));
}

TEST_F(HubCacheTest, PartsMustAllBeThere) {
  Put("org/model", kCommitA, "config.json", "{}");
  Put("org/model", kCommitA, "model.safetensors.index.json",
      R"({"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}})");
  Put("org/model", kCommitA, "model-00001-of-00002.safetensors", "1");
  EXPECT_FALSE(Find(cache_, "org/model"));
  const fs::path blob = Put("org/model", kCommitA, "model-00002-of-00002.safetensors", "2");
  EXPECT_TRUE(Find(cache_, "org/model"));
  fs::remove(blob);  // the link leads nowhere
  EXPECT_FALSE(Find(cache_, "org/model"));

  Put("org/gguf", kCommitA, "m-Q8_0-00001-of-00002.gguf", "1");
  EXPECT_FALSE(Find(cache_, "org/gguf:Q8_0"));
  Put("org/gguf", kCommitA, "m-Q8_0-00002-of-00002.gguf", "2");
  EXPECT_EQ(Find(cache_, "org/gguf:q8_0")->path.filename(), "m-Q8_0-00001-of-00002.gguf");
}

TEST_F(HubCacheTest, ListsWhatIsThere) {
  PutModel("org/model", kCommitA);
  Put("org/gguf", kCommitA, "m-Q8_0.gguf", "12345");
  ASSERT_OK(WriteFileAtomically(cache_.Blob("org/gguf", "abc.incomplete"), "123"));
  ASSERT_OK(CreateDirectories(cache_.root() / "datasets--a--b"));
  const std::vector<CachedRepository> list = cache_.List();
  ASSERT_EQ(list.size(), 2u);
  EXPECT_EQ(list[0].name, "org/gguf");
  EXPECT_EQ(list[0].bytes, 8u);
  EXPECT_EQ(list[0].unfinished_bytes, 3u);
  ASSERT_EQ(list[0].snapshots.size(), 1u);
  ASSERT_EQ(list[0].snapshots[0].models.size(), 1u);
  EXPECT_EQ(list[0].snapshots[0].models[0].format, "Q8_0");
  EXPECT_EQ(list[0].snapshots[0].models[0].bytes, 5u);
  EXPECT_EQ(list[1].snapshots[0].models[0].format, "bfloat16");
  EXPECT_EQ(HubCache("/nonexistent").List().size(), 0u);
}

TEST_F(HubCacheTest, RemovingAModelLeavesNothing) {
  PutModel("org/model", kCommitA);
  PutModel("org/other", kCommitA);
  const fs::path packed = directory_.path() / "own/qwen25/packed/models--org--model" / kCommitA;
  ASSERT_OK(CreateDirectories(packed));
  {
    ASSERT_OK_AND_ASSIGN(const FileLock lock, FileLock::Acquire(cache_.LockFile("org/model", kPullLock)));
    lock.NameHolder();
    EXPECT_ERROR_CONTAINS(cache_.Remove("org/model", ""), "is fetching this model");
  }
  ASSERT_OK_AND_ASSIGN(const uint64_t bytes, cache_.Remove("org/model", ""));
  EXPECT_GT(bytes, 0u);
  EXPECT_FALSE(fs::exists(cache_.Folder("org/model")));
  EXPECT_FALSE(fs::exists(packed));
  EXPECT_TRUE(Find(cache_, "org/other"));
  EXPECT_ERROR_CONTAINS(cache_.Remove("org/model", ""), "there is no such model");
}

// Contents that another file or snapshot uses stay.
TEST_F(HubCacheTest, RemovingAFormatKeepsTheOthers) {
  Put("org/gguf", kCommitA, "m-Q4_0.gguf", "four");
  const fs::path shared = Put("org/gguf", kCommitA, "m-Q8_0.gguf", "eight");
  Put("org/gguf", kCommitB, "m-Q4_0.gguf", "eight");  // the same content under another name
  ASSERT_OK_AND_ASSIGN(const uint64_t bytes, cache_.Remove("org/gguf", "Q4_0"));
  EXPECT_EQ(bytes, 4u);
  EXPECT_FALSE(Find(cache_, "org/gguf:Q4_0"));
  EXPECT_TRUE(Find(cache_, "org/gguf:Q8_0"));
  EXPECT_TRUE(fs::exists(shared));
  EXPECT_ERROR_CONTAINS(cache_.Remove("org/gguf", "Q4_0"), "there is no Q4_0");
  ASSERT_OK(cache_.Remove("org/gguf", "Q8_0"));
  EXPECT_FALSE(fs::exists(cache_.Folder("org/gguf")));
}

TEST_F(HubCacheTest, VerifyFindsADamagedBlob) {
  PutModel("org/model", kCommitA);
  const fs::path blob = Put("org/model", kCommitA, "vocab.json", "vocabulary");
  const auto go_on = [](uint64_t) { return true; };
  ASSERT_OK_AND_ASSIGN(const size_t count, cache_.Verify(*cache_.Find("org/model"), go_on));
  EXPECT_EQ(count, 3u);
  ASSERT_OK(WriteFileAtomically(blob, "vocabularY"));
  EXPECT_ERROR_CONTAINS(cache_.Verify(*cache_.Find("org/model"), go_on), blob.filename().string());
  EXPECT_ERROR_CONTAINS(cache_.Verify(*cache_.Find("org/model"), [](uint64_t) { return false; }), "stopped");
}

TEST_F(HubCacheTest, ALockIsHeldOnceAndNamesItsHolder) {
  const fs::path path = directory_.path() / "locks" / "x.lock";
  {
    ASSERT_OK_AND_ASSIGN(const FileLock lock, FileLock::Acquire(path));
    lock.NameHolder();
    EXPECT_EQ(FileLock::Holder(path), fmt::format(" (process {})", ::getpid()));
    EXPECT_ERROR_CONTAINS(FileLock::Acquire(path), "holds this lock");
    int asked = 0;
    EXPECT_ERROR_CONTAINS(FileLock::Acquire(path, [&] { return ++asked < 2; }), "stopped");
    EXPECT_EQ(asked, 2);
    fs::remove(path);  // as other programs do when they release it
    EXPECT_OK(FileLock::Acquire(path));
  }
  EXPECT_OK(FileLock::Acquire(path));
}

}  // namespace
}  // namespace qwen25

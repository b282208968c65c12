// A cache for tests, in a folder that goes away. Included by *_test.cc only.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>

#include "base/file.h"
#include "base/test_util.h"
#include "pretrained/hub/content_digest.h"
#include "pretrained/hub/hub_cache.h"

namespace qwen25 {

inline constexpr const char* kCommitA = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
inline constexpr const char* kCommitB = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

class CacheTest : public testing::Test {
 protected:
  CacheTest() { ::setenv("XDG_CACHE_HOME", (directory_ / "own").c_str(), 1); }

  // Puts a file into a snapshot, as a pull does. Returns the blob.
  std::filesystem::path Put(const std::string& repository, const std::string& commit, const std::string& path,
                            const std::string& content) {
    ContentDigest git(std::string(40, '0'), content.size());
    git.Update(std::as_bytes(std::span(content)));
    const std::string digest = git.Finish();
    const std::filesystem::path file = cache_.Blob(repository, digest);
    EXPECT_OK(CreateDirectories(file.parent_path()));
    EXPECT_OK(WriteFileAtomically(file, content));
    EXPECT_OK(cache_.Link(repository, commit, path, digest));
    return file;
  }
  // A folder model: enough for whoever only looks at names.
  void PutModel(const std::string& repository, const std::string& commit) {
    Put(repository, commit, "model.safetensors", "weights of " + repository + commit);
    Put(repository, commit, "config.json", R"({"torch_dtype": "bfloat16"})");
  }

  TemporaryDirectory directory_;
  HubCache cache_{directory_.path() / "hub"};
};

}  // namespace qwen25

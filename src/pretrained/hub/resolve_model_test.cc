#include "pretrained/hub/resolve_model.h"

#include <gtest/gtest.h>

#include "pretrained/hub/cache_test_util.h"
#include "pretrained/hub/model_inventory.h"
#include "pretrained/hub/ollama_store.h"

namespace qwen25 {
namespace {

namespace fs = std::filesystem;

class ResolveModelTest : public CacheTest {
 protected:
  ResolveModelTest() {
    settings_.cache = cache_.root();
    settings_.ollama = directory_.path() / "ollama";
  }
  // A manifest of Ollama, and the weights that it names.
  fs::path PutOllama(const std::string& path, char digit) {
    const std::string digest(64, digit);
    const fs::path manifest = settings_.ollama / "manifests" / path;
    EXPECT_OK(CreateDirectories(manifest.parent_path()));
    EXPECT_OK(CreateDirectories(settings_.ollama / "blobs"));
    EXPECT_OK(WriteFileAtomically(
        manifest, fmt::format(R"({{"layers": [{{"mediaType": "application/vnd.ollama.image.template"}},
                    {{"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:{}"}}]}})",
                              digest)));
    const fs::path blob = settings_.ollama / "blobs" / ("sha256-" + digest);
    EXPECT_OK(WriteFileAtomically(blob, "GGUF"));
    return blob;
  }

  HubSettings settings_;
};

TEST_F(ResolveModelTest, APathThatExistsWins) {
  ASSERT_OK_AND_ASSIGN(const fs::path path, ResolveModel(directory_.path().string(), settings_));
  EXPECT_EQ(path, directory_.path());
}

// Their errors come from whoever opens them.
TEST_F(ResolveModelTest, WhatCanOnlyBeAPathStaysOne) {
  for (const char* text : {"/nonexistent/model", "./model", "a/b/c", "model.gguf", "org/model.gguf",
                           "tokenizer.json", "stories.bin", "~/model", "a b", ""}) {
    ASSERT_OK_AND_ASSIGN(const fs::path path, ResolveModel(text, settings_));
    EXPECT_EQ(path, text);
  }
}

TEST_F(ResolveModelTest, ANameIsFoundInTheCaches) {
  EXPECT_ERROR_CONTAINS(ResolveModel("org/model", settings_), "get it with: qwen25 pull org/model");
  EXPECT_ERROR_CONTAINS(ResolveModel("nothing", settings_), "`qwen25 models` lists");
  PutModel("org/model", kCommitA);
  ASSERT_OK_AND_ASSIGN(fs::path path, ResolveModel("org/model", settings_));
  EXPECT_EQ(path, cache_.Snapshot("org/model", kCommitA));
  EXPECT_ERROR_CONTAINS(ResolveModel("org/model:Q4_K_M", settings_), "only bfloat16 is there");
  settings_.cache = directory_.path() / "other";
  EXPECT_ERROR_CONTAINS(ResolveModel("org/model", settings_), "other");
  settings_.more_caches = {cache_.root()};
  ASSERT_OK_AND_ASSIGN(path, ResolveModel("org/model", settings_));
  EXPECT_EQ(path, cache_.Snapshot("org/model", kCommitA));
}

TEST_F(ResolveModelTest, AnUnfinishedDownloadIsNoModel) {
  Put("org/model", kCommitA, "config.json", "{}");
  ASSERT_OK(WriteFileAtomically(cache_.Blob("org/model", "0.incomplete"), "half"));
  EXPECT_ERROR_CONTAINS(ResolveModel("org/model", settings_), "its download was not finished; get it with");
}

TEST_F(ResolveModelTest, ModelsOfOllama) {
  const fs::path qwen = PutOllama("registry.ollama.ai/library/qwen2.5/0.5b", '1');
  const fs::path latest = PutOllama("registry.ollama.ai/team/model/latest", '2');
  const fs::path other = PutOllama("hf.co/org/model/Q8_0", '3');
  const std::pair<const char*, fs::path> names[] = {{"ollama/qwen2.5:0.5b", qwen},
                                                    {"ollama/library/qwen2.5:0.5b", qwen},
                                                    {"ollama/team/model", latest},
                                                    {"ollama/hf.co/org/model:Q8_0", other}};
  for (const auto& [name, blob] : names) {
    ASSERT_OK_AND_ASSIGN(const fs::path path, ResolveModel(name, settings_));
    EXPECT_EQ(path, blob) << name;
  }
  EXPECT_ERROR_CONTAINS(ResolveModel("ollama/qwen2.5", settings_), "Ollama has no such model");
  EXPECT_ERROR_CONTAINS(ResolveModel("ollama/../../x", settings_), "names no model of Ollama");
  const std::vector<OllamaModel> list = ListOllamaModels(settings_.ollama);
  ASSERT_EQ(list.size(), 3u);
  for (const OllamaModel& model : list) {
    ASSERT_OK_AND_ASSIGN(const fs::path path, ResolveModel(model.name, settings_));
    EXPECT_EQ(path, model.model.path);
  }
  fs::remove(qwen);
  EXPECT_ERROR_CONTAINS(ResolveModel("ollama/qwen2.5:0.5b", settings_), "the weights are missing");
}

TEST_F(ResolveModelTest, DamagedManifestsAreErrors) {
  const fs::path manifest = settings_.ollama / "manifests/registry.ollama.ai/library/m/latest";
  ASSERT_OK(CreateDirectories(manifest.parent_path()));
  const auto with = [&](std::string_view text) {
    EXPECT_OK(WriteFileAtomically(manifest, text));
    EXPECT_EQ(ListOllamaModels(settings_.ollama).size(), 0u);
    return ResolveModel("ollama/m", settings_);
  };
  EXPECT_ERROR_CONTAINS(with(""), "latest");
  EXPECT_ERROR_CONTAINS(with("[]"), "expected \"layers\"");
  EXPECT_ERROR_CONTAINS(with(R"({"layers": [1]})"), "expected objects");
  EXPECT_ERROR_CONTAINS(with(R"({"layers": []})"), "names no weights");
  EXPECT_ERROR_CONTAINS(
      with(R"({"layers": [{"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:../x"}]})"),
      "names no weights");
  EXPECT_ERROR_CONTAINS(with(R"({"layers": [{"mediaType": "application/vnd.ollama.image.adapter"}]})"),
                        "adapter");
}

TEST_F(ResolveModelTest, AllModelsByName) {
  PutModel("org/model", kCommitA);
  PutModel("org/model", kCommitB);  // the same name: listed once
  Put("org/gguf", kCommitA, "m-Q8_0.gguf", "12345");
  Put("org/half", kCommitA, "config.json", "{}");
  PutOllama("registry.ollama.ai/library/qwen2.5/0.5b", '1');
  const std::vector<ModelStore> stores = ModelStores(settings_);
  ASSERT_EQ(stores.size(), 2u);
  ASSERT_EQ(stores[0].models.size(), 2u);
  EXPECT_EQ(stores[0].models[0].name, "org/gguf:Q8_0");
  EXPECT_EQ(stores[0].models[1].name, "org/model");
  ASSERT_EQ(stores[0].others.size(), 1u);
  EXPECT_EQ(stores[0].others[0].name, "org/half");
  EXPECT_EQ(stores[1].models[0].name, "ollama/qwen2.5:0.5b");
  for (const ModelStore& store : stores) {
    for (const NamedModel& named : store.models) EXPECT_OK(ResolveModel(named.name, settings_));
  }
}

TEST_F(ResolveModelTest, ModelsInAFolderAndItsRuns) {
  const fs::path here = directory_.path() / "here";
  for (const char* name : {"model", "runs/demo/model", ".hidden"}) {
    ASSERT_OK(CreateDirectories(here / name));
    ASSERT_OK(WriteFileAtomically(here / name / "config.json", "{}"));
    ASSERT_OK(WriteFileAtomically(here / name / "model.safetensors", "x"));
  }
  ASSERT_OK(CreateDirectories(here / "empty"));
  ASSERT_OK(WriteFileAtomically(here / "x-q8_0.gguf", "x"));
  const ModelStore store = ModelsNear(here);
  ASSERT_EQ(store.models.size(), 3u);
  EXPECT_EQ(store.models[0].model.path, here / "model");
  EXPECT_EQ(store.models[1].model.path, here / "x-q8_0.gguf");
  EXPECT_EQ(store.models[2].model.path, here / "runs/demo/model");
}

// The variables, in the order in which huggingface_hub asks for them.
TEST(HubSettingsTest, TheEnvironmentNamesTheCache) {
  const char* variables[] = {
      "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME",        "XDG_CACHE_HOME", "HOME", "HF_ENDPOINT",
      "HF_TOKEN",     "HF_TOKEN_PATH",         "HF_HUB_OFFLINE", "LLAMA_CACHE"};
  const TemporaryDirectory directory;
  const std::string home = std::getenv("HOME") != nullptr ? std::getenv("HOME") : "";
  for (const char* name : variables) ::unsetenv(name);
  EXPECT_EQ(HubSettings::FromEnvironment().cache, "");
  ::setenv("HOME", directory.path().c_str(), 1);
  EXPECT_EQ(HubSettings::FromEnvironment().cache, directory / ".cache/huggingface/hub");
  ::setenv("XDG_CACHE_HOME", "/xdg", 1);
  EXPECT_EQ(HubSettings::FromEnvironment().cache, "/xdg/huggingface/hub");
  ::setenv("HF_HOME", "~/hf", 1);
  EXPECT_EQ(HubSettings::FromEnvironment().cache, directory / "hf/hub");
  EXPECT_EQ(HubSettings::FromEnvironment().token, "");
  ASSERT_OK(CreateDirectories(directory / "hf"));
  ASSERT_OK(WriteFileAtomically(directory / "hf/token", "hf_file\n"));
  EXPECT_EQ(HubSettings::FromEnvironment().token, "hf_file");
  ::setenv("HF_TOKEN", " hf_variable ", 1);
  EXPECT_EQ(HubSettings::FromEnvironment().token, "hf_variable");
  ::setenv("HUGGINGFACE_HUB_CACHE", "/old", 1);
  EXPECT_EQ(HubSettings::FromEnvironment().cache, "/old");
  ::setenv("HF_HUB_CACHE", "/new", 1);
  ::setenv("LLAMA_CACHE", "/llama", 1);
  EXPECT_EQ(HubSettings::FromEnvironment().Caches(), (std::vector<fs::path>{"/new", "/llama"}));
  EXPECT_EQ(HubSettings::FromEnvironment().endpoint, kDefaultEndpoint);
  ::setenv("HF_ENDPOINT", "http://localhost:1/", 1);
  EXPECT_EQ(HubSettings::FromEnvironment().endpoint, "http://localhost:1");
  EXPECT_FALSE(HubSettings::FromEnvironment().offline);
  ::setenv("HF_HUB_OFFLINE", "yes", 1);
  EXPECT_TRUE(HubSettings::FromEnvironment().offline);
  for (const char* name : variables) ::unsetenv(name);
  ::setenv("HOME", home.c_str(), 1);
}

}  // namespace
}  // namespace qwen25

#include "pretrained/hub/repository_files.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/test_util.h"

namespace qwen25 {
namespace {

std::vector<RepositoryFile> Files(const std::vector<std::string>& paths) {
  std::vector<RepositoryFile> files;
  for (const std::string& path : paths) files.push_back({.path = path, .size = uint64_t{1} << 20});
  return files;
}

// The chosen paths, sorted, with blanks between.
std::string Chosen(const std::vector<std::string>& paths, std::string_view format = "",
                   const std::vector<std::string>& patterns = {}) {
  const auto chosen = ChooseFiles(Files(paths), format, patterns, "org/model");
  if (!chosen.ok()) return "error: " + chosen.status().message();
  std::vector<std::string> names;
  for (const RepositoryFile& file : *chosen) names.push_back(file.path);
  std::ranges::sort(names);
  return fmt::format("{}", fmt::join(names, " "));
}

TEST(RepositoryFilesTest, AModelIsConfigurationTokenizerAndSafetensors) {
  EXPECT_EQ(Chosen({".gitattributes", "README.md", "LICENSE", "config.json", "generation_config.json",
                    "merges.txt", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
                    "vocab.json", "pytorch_model.bin", "onnx/model.onnx", "original/consolidated.00.pth"}),
            "config.json generation_config.json merges.txt model.safetensors tokenizer.json "
            "tokenizer_config.json vocab.json");
}

TEST(RepositoryFilesTest, PartsComeWithTheirIndexAndWithoutOtherWeights) {
  EXPECT_EQ(Chosen({"config.json", "consolidated.safetensors", "model-00001-of-00002.safetensors",
                    "model-00002-of-00002.safetensors", "model.safetensors.index.json"}),
            "config.json model-00001-of-00002.safetensors model-00002-of-00002.safetensors "
            "model.safetensors.index.json");
  EXPECT_NE(Chosen({"config.json", "model-00001-of-00002.safetensors"}).find("not complete"),
            std::string::npos);
}

TEST(RepositoryFilesTest, ASentenceEncoderHasModules) {
  EXPECT_EQ(Chosen({"1_Pooling/config.json", "2_Dense/config.json", "2_Dense/model.safetensors",
                    "2_Dense/pytorch_model.bin", "config.json", "config_sentence_transformers.json",
                    "model.safetensors", "modules.json", "onnx/config.json", "openvino/openvino_model.bin",
                    "sentence_bert_config.json", "train_script.py", "vocab.txt"}),
            "1_Pooling/config.json 2_Dense/config.json 2_Dense/model.safetensors config.json "
            "config_sentence_transformers.json model.safetensors modules.json sentence_bert_config.json "
            "vocab.txt");
}

TEST(RepositoryFilesTest, PickledWeightsAreRefusedByName) {
  const std::string refused = Chosen({"config.json", "pytorch_model.bin"});
  EXPECT_NE(refused.find("pytorch_model.bin, 1.00 MiB"), std::string::npos) << refused;
  EXPECT_NE(refused.find("can run programs"), std::string::npos) << refused;
  EXPECT_NE(Chosen({"config.json", "flax_model.msgpack"}).find("no weights that this program reads"),
            std::string::npos);
}

TEST(RepositoryFilesTest, AGgufRepositoryGivesOneFormat) {
  const std::vector<std::string> paths = {"README.md",   "m-IQ4_XS.gguf",     "m-Q2_K.gguf", "m-Q4_K_M.gguf",
                                          "m-Q8_0.gguf", "mmproj-m-f16.gguf", "imatrix.gguf"};
  EXPECT_EQ(Chosen(paths), "m-Q4_K_M.gguf");
  EXPECT_EQ(Chosen(paths, "q8_0"), "m-Q8_0.gguf");
  EXPECT_EQ(Chosen({"m-Q2_K.gguf", "m-Q8_0.gguf"}), "m-Q8_0.gguf");
  EXPECT_EQ(Chosen({"m-f16.gguf", "m-Q2_K.gguf"}), "m-Q2_K.gguf");  // the first, sorted by name
  const std::string missing = Chosen(paths, "Q6_K");
  EXPECT_NE(missing.find("there is no Q6_K"), std::string::npos) << missing;
  EXPECT_NE(missing.find("1.00 MiB  :Q8_0"), std::string::npos) << missing;
  EXPECT_EQ(missing.find("mmproj"), std::string::npos) << missing;
}

// As llama.cpp matches, but a whole word comes before the end of a longer one.
TEST(RepositoryFilesTest, AFormatIsAWord) {
  EXPECT_EQ(Chosen({"m-IQ4_XS.gguf", "m-Q4_XS.gguf"}, "Q4_XS"), "m-Q4_XS.gguf");
  EXPECT_EQ(Chosen({"m-IQ4_XS.gguf"}, "Q4_XS"), "m-IQ4_XS.gguf");
  EXPECT_NE(Chosen({"m-Q4_K_M.gguf"}, "Q4_K").find("there is no Q4_K"), std::string::npos);
  EXPECT_EQ(Chosen({"BF16/m-BF16-00001-of-00001.gguf", "m-Q8_0.gguf"}, "bf16"),
            "BF16/m-BF16-00001-of-00001.gguf");
}

TEST(RepositoryFilesTest, SplitGgufFilesComeTogether) {
  EXPECT_EQ(Chosen({"m-q4_k_m-00001-of-00002.gguf", "m-q4_k_m-00002-of-00002.gguf", "m-q8_0.gguf"}, "Q4_K_M"),
            "m-q4_k_m-00001-of-00002.gguf m-q4_k_m-00002-of-00002.gguf");
  EXPECT_NE(Chosen({"m-q4_k_m-00001-of-00003.gguf", "m-q4_k_m-00002-of-00003.gguf"}).find("not complete"),
            std::string::npos);
}

TEST(RepositoryFilesTest, SafetensorsComeBeforeGgufUnlessAFormatIsNamed) {
  const std::vector<std::string> paths = {"config.json", "model.safetensors", "m-Q4_K_M.gguf"};
  EXPECT_EQ(Chosen(paths), "config.json model.safetensors");
  EXPECT_EQ(Chosen(paths, "Q4_K_M"), "m-Q4_K_M.gguf");
  EXPECT_EQ(Chosen(paths, "safetensors"), "config.json model.safetensors");
  EXPECT_NE(Chosen({"m-Q4_K_M.gguf"}, "safetensors").find("there is no safetensors"), std::string::npos);
}

TEST(RepositoryFilesTest, PatternsChooseAnything) {
  const std::vector<std::string> paths = {"README.md", "a/x.gguf", "config.json"};
  EXPECT_EQ(Chosen(paths, "", {"*.gguf", "README*"}), "README.md a/x.gguf");
  EXPECT_NE(Chosen(paths, "", {"*.bin"}).find("no file matches *.bin"), std::string::npos);
}

TEST(RepositoryFilesTest, AnEmptyRepositoryIsAnError) {
  EXPECT_NE(Chosen({}).find("its files: none"), std::string::npos);
}

}  // namespace
}  // namespace qwen25

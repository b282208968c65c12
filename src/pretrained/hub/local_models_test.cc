#include "pretrained/hub/local_models.h"

#include "base/test_util.h"
#include "store/gguf.h"

namespace qwen25 {
namespace {

TEST(LocalModels, WhatIsAnEncoderWritesNoText) {
  const TemporaryDirectory folder;
  const auto write = [&](const std::string& name, const std::string& architecture) {
    GgufMetadata metadata;
    metadata.SetString("general.architecture", architecture);
    ASSERT_OK_AND_ASSIGN(GgufWriter writer, GgufWriter::Open(folder.path() / name, metadata, {}));
    ASSERT_OK(writer.Commit());
  };
  write("a-Q8_0.gguf", "qwen2");
  write("b-Q8_0.gguf", "bert");
  write("c-Q8_0.gguf", "nomic-bert");
  ASSERT_OK(WriteFileAtomically(folder / "d-Q8_0.gguf", "no GGUF file"));
  std::vector<std::string> names;
  for (const LocalModel& model : ModelsInFolder(folder.path())) {
    EXPECT_TRUE(model.is_gguf);
    if (MayGenerate(model)) names.push_back(model.path.filename());
  }
  // Whoever opens the last one is told what is wrong with it.
  EXPECT_EQ(names, (std::vector<std::string>{"a-Q8_0.gguf", "d-Q8_0.gguf"}));
  EXPECT_FALSE(MayGenerate({.architecture = "BertModel"}));
  EXPECT_FALSE(MayGenerate({.architecture = "SentenceTransformer"}));
  EXPECT_TRUE(MayGenerate({.architecture = "Qwen2ForCausalLM"}));
  EXPECT_TRUE(MayGenerate({}));
}

}  // namespace
}  // namespace qwen25

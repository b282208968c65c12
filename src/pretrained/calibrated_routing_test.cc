#include "pretrained/calibrated_routing.h"

#include <gtest/gtest.h>

#include "base/file.h"
#include "base/test_util.h"

namespace qwen25 {
namespace {

ModelConfig Shape(uint32_t layers) {
  ModelConfig config;
  config.num_hidden_layers = layers;
  config.num_attention_heads = 14;
  config.num_key_value_heads = 2;
  config.head_dim = 64;
  return config;
}

TEST(CalibratedRouting, ComesBackAsItWasWritten) {
  const TemporaryDirectory folder;
  const auto none = ReadCalibratedRouting(folder.path(), Shape(24));
  ASSERT_OK(none);
  EXPECT_FALSE(none->has_value());
  const CalibratedRouting written = {.policy = RoutingPolicy::Parse("top_k:24,rerank=3,score=mean").value(),
                                     .loss = 0.0075,
                                     .text = "a \"book\".txt",
                                     .num_tokens = 8191,
                                     .window = 4096};
  ASSERT_OK(WriteCalibratedRouting(folder.path(), Shape(24), written));
  const auto read = ReadCalibratedRouting(folder.path(), Shape(24));
  ASSERT_OK(read);
  ASSERT_TRUE(read->has_value());
  EXPECT_EQ((*read)->policy, written.policy);
  EXPECT_EQ((*read)->loss, written.loss);
  EXPECT_EQ((*read)->text, written.text);
  EXPECT_EQ((*read)->num_tokens, written.num_tokens);
  EXPECT_EQ((*read)->window, written.window);
}

TEST(CalibratedRouting, LiesBesideAFile) {
  EXPECT_EQ(CalibratedRoutingPath("models/a.gguf"), "models/a.gguf.routing.json");
  EXPECT_EQ(CalibratedRoutingPath("models/a"), "models/a/routing.json");
}

TEST(CalibratedRouting, WhatCannotBeUsedIsAnErrorThatSaysWhatToDo) {
  const TemporaryDirectory folder;
  ASSERT_OK(WriteCalibratedRouting(folder.path(), Shape(24), {}));
  EXPECT_ERROR_CONTAINS(ReadCalibratedRouting(folder.path(), Shape(30)), "another shape");
  for (const char* text : {"", "[]", "{}", "{\"policy\": \"top_k:0\"}", "{\"policy\": 3}"}) {
    SCOPED_TRACE(text);
    ASSERT_OK(WriteFileAtomically(folder.path() / "routing.json", text));
    EXPECT_ERROR_CONTAINS(ReadCalibratedRouting(folder.path(), Shape(24)), "routing.json");
    EXPECT_ERROR_CONTAINS(ReadCalibratedRouting(folder.path(), Shape(24)), "--calibrate");
  }
}

}  // namespace
}  // namespace qwen25

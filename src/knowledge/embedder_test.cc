#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <cmath>

#include "base/test_util.h"
#include "infer/session.h"
#include "infer/tiny_model_test_util.h"
#include "knowledge/command_embedder.h"
#include "knowledge/hashed_embedder.h"
#include "knowledge/model_embedder.h"

namespace qwen25 {
namespace {

std::vector<float> EmbedOne(Embedder& embedder, const std::string& text) {
  std::vector<float> out(embedder.id().dimension);
  const Status status = embedder.Embed(EmbedKind::kPassage, {&text, 1}, out);
  EXPECT_TRUE(status.ok()) << status.message();
  return out;
}

float Similarity(Embedder& embedder, const std::string& a, const std::string& b) {
  return DotProduct(EmbedOne(embedder, a), EmbedOne(embedder, b));
}

TEST(HashedEmbedder, RelatedTextsAreNearer) {
  HashedEmbedder embedder;
  EXPECT_NEAR(Similarity(embedder, "The cat sleeps.", "the CAT sleeps"), 1, 1e-5);
  EXPECT_GT(Similarity(embedder, "encryption of stored keys", "how are the keys encrypted?"),
            Similarity(embedder, "encryption of stored keys", "a recipe for pancakes") + 0.1);
  EXPECT_LT(std::abs(Similarity(embedder, "violin concerto", "database server")), 0.3f);
  EXPECT_GT(Similarity(embedder, "東京タワーの高さ", "東京タワー"), 0.4f);
  EXPECT_EQ(EmbedOne(embedder, "..."), std::vector<float>(512, 0.0f));
}

TEST(UnrelatedCosine, IsLowForSpreadDirectionsAndHighForACone) {
  HashedEmbedder hashed;
  ASSERT_OK_AND_ASSIGN(const double spread, UnrelatedCosine(hashed));
  EXPECT_GE(spread, 0);
  EXPECT_LT(spread, 0.25);
  // Every text near one direction, as models give them.
  struct Cone : HashedEmbedder {
    Status Embed(EmbedKind kind, std::span<const std::string> texts, std::span<float> out) override {
      QWEN25_RETURN_IF_ERROR(HashedEmbedder::Embed(kind, texts, out));
      for (size_t i = 0; i < texts.size(); ++i) {
        out[i * id().dimension] += 3;
        NormalizeVector(out.subspan(i * id().dimension, id().dimension));
      }
      return {};
    }
  } cone;
  ASSERT_OK_AND_ASSIGN(const double narrow, UnrelatedCosine(cone));
  EXPECT_GT(narrow, 0.8);
  EXPECT_LT(narrow, 1);
}

TEST(HashedEmbedder, VectorsHaveLengthOneAndDoNotDependOnCompany) {
  EXPECT_TRUE(rc::check([](const std::vector<std::string>& texts) {
    HashedEmbedder embedder({.dimension = 64});
    std::vector<float> all(texts.size() * 64);
    RC_ASSERT(embedder.Embed(EmbedKind::kPassage, texts, all).ok());
    for (size_t i = 0; i < texts.size(); ++i) {
      const std::span<const float> row = std::span(all).subspan(i * 64, 64);
      const float square = DotProduct(row, row);
      RC_ASSERT(square == 0 || std::abs(square - 1) < 1e-4f);
      RC_ASSERT(std::ranges::equal(row, EmbedOne(embedder, texts[i])));
    }
  }));
}

TEST(CommandEmbedder, SpeaksJsonLines) {
  const char* script = R"(python3 -c "
import json, sys
print(json.dumps({'name': 'letters', 'dimension': 2}), flush=True)
for line in sys.stdin:
    r = json.loads(line)
    if 'bad' in r['texts']: print(json.dumps({'error': 'no such word'}), flush=True)
    else: print(json.dumps({'embeddings': [[len(t), 3 if r['kind'] == 'query' else 0] for t in r['texts']]}), flush=True)
")";
  ASSERT_OK_AND_ASSIGN(const auto embedder, CommandEmbedder::Start(script));
  EXPECT_EQ(embedder->id().ToString(), "command (2 dimensions, letters)");
  const std::vector<std::string> texts = {"four", "\xff\n"};
  std::vector<float> out(4);
  ASSERT_OK(embedder->Embed(EmbedKind::kQuery, texts, out));
  EXPECT_FLOAT_EQ(out[0], 0.8f);
  EXPECT_FLOAT_EQ(out[1], 0.6f);
  const std::vector<std::string> bad = {"bad"};
  EXPECT_ERROR_CONTAINS(embedder->Embed(EmbedKind::kQuery, bad, std::span(out).first(2)), "no such word");
}

TEST(CommandEmbedder, OneThatIgnoresTheEndOfItsInputAndSignalsIsEnded) {
  EXPECT_OK(
      CommandEmbedder::Start("trap '' TERM; echo '{\"name\": \"x\", \"dimension\": 2}'; while true; do "
                             "sleep 0.1; done"));
}

TEST(CommandEmbedder, FailuresSayWhatHappened) {
  EXPECT_ERROR_CONTAINS(CommandEmbedder::Start("exit 3"), "ended without an answer");
  EXPECT_ERROR_CONTAINS(CommandEmbedder::Start("echo nonsense; cat"), "first line of embedder");
  EXPECT_ERROR_CONTAINS(CommandEmbedder::Start("echo '{\"name\": \"x\", \"dimension\": 0}'; cat"),
                        "1 to 65536");
  ASSERT_OK_AND_ASSIGN(const auto embedder,
                       CommandEmbedder::Start("echo '{\"name\": \"x\", \"dimension\": 2}'; read line; echo "
                                              "'{\"embeddings\": [[1]]}'; read line"));
  std::vector<float> out(2);
  const std::vector<std::string> texts = {"a"};
  EXPECT_ERROR_CONTAINS(embedder->Embed(EmbedKind::kQuery, texts, out), "does not have the 2 numbers");
}

}  // namespace
}  // namespace qwen25

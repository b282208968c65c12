#include "data/train_tokenizer.h"

#include "base/file.h"
#include "base/test_util.h"
#include "text/tokenizer.h"

namespace qwen25 {
namespace {

TEST(TrainTokenizerTest, LearnsFromAllDocumentsAndCanTalk) {
  const TemporaryDirectory directory;
  const std::string text = directory / "a.txt", lines = directory / "b.jsonl";
  ASSERT_OK(WriteFileAtomically(text, "water water water"));
  ASSERT_OK(WriteFileAtomically(lines, "{\"text\": \"fire fire\"}\n{\"text\": \"fire\"}\n"));
  ThreadPool threads(2);
  ASSERT_OK_AND_ASSIGN(TrainedBpe trained,
                       TrainTokenizer(std::vector<std::string>{text, lines}, {.vocab_size = 300}, threads));
  EXPECT_FALSE(trained.complete()) << "so little text has fewer pairs";
  ASSERT_OK_AND_ASSIGN(const Tokenizer tokenizer, Tokenizer::FromByteLevelBpe(std::move(trained.tokenizer)));
  EXPECT_EQ(tokenizer.Encode("water").size(), 1u);
  EXPECT_EQ(tokenizer.Encode("fire").size(), 1u);
  EXPECT_EQ(tokenizer.Encode("<|im_start|>").size(), 1u);
  EXPECT_EQ(tokenizer.eos_id(), tokenizer.Encode("<|endoftext|>")[0]);
  EXPECT_FALSE(TrainTokenizer(std::vector<std::string>{directory / "none"}, {}, threads).ok());
}

}  // namespace
}  // namespace qwen25

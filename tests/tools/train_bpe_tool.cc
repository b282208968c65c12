// Trains a BPE tokenizer on files and prints what it took, for bench/bpe_trainer_speed.py. Not installed.
//
//   train_bpe_tool VOCAB_SIZE qwen2|gpt2 NUM_THREADS TOKENS_FILE FILE...
//
// Every FILE is one text; <|endoftext|> separates documents in it. TOKENS_FILE gets the learned tokens in
// rank order, one per line, in hexadecimal. Prints one JSON line with times in seconds and counts.
#include <cstdio>
#include <cstdlib>
#include <string>

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "text/bpe_trainer.h"

namespace qwen25 {
namespace {

Result<Json> Run(const std::vector<std::string>& arguments) {
  if (arguments.size() < 5 || (arguments[1] != "qwen2" && arguments[1] != "gpt2")) {
    return InvalidArgument("usage: train_bpe_tool VOCAB_SIZE qwen2|gpt2 NUM_THREADS TOKENS_FILE FILE...");
  }
  const bool qwen2 = arguments[1] == "qwen2";
  ThreadPool pool(std::strtoull(arguments[2].c_str(), nullptr, 10));
  const BpeTrainerOptions options{.vocab_size = std::strtoull(arguments[0].c_str(), nullptr, 10),
                                  .pre_tokenizer = qwen2 ? PreTokenizerKind::kQwen2 : PreTokenizerKind::kGpt2,
                                  .nfc = qwen2};
  const double start = NowSeconds();
  QWEN25_TRY(BpeTrainer trainer, BpeTrainer::Create(options, &pool));
  double reading = 0.0;
  for (size_t i = 4; i < arguments.size(); ++i) {
    const double before = NowSeconds();
    QWEN25_TRY(const std::string text, ReadFile(arguments[i]));
    reading += NowSeconds() - before;
    trainer.Add(text);
  }
  const double counted = NowSeconds();
  QWEN25_TRY(const TrainedBpe trained, trainer.Train());
  const double end = NowSeconds();

  std::string lines;
  for (size_t id = 256; id < trained.tokenizer.tokens.size(); ++id) {
    for (const unsigned char c : trained.tokenizer.tokens[id]) lines += fmt::format("{:02x}", c);
    lines += '\n';
  }
  QWEN25_RETURN_IF_ERROR(WriteFileAtomically(arguments[3], lines));
  return Json{{"seconds", end - start},
              {"read_seconds", reading},
              {"count_seconds", counted - start - reading},
              {"merge_seconds", end - counted},
              {"bytes", trained.num_bytes},
              {"pieces", trained.num_pieces},
              {"different_pieces", trained.num_different_pieces},
              {"vocab_size", trained.vocab_size()},
              {"last_count", trained.last_count}};
}

}  // namespace
}  // namespace qwen25

int main(int argc, char** argv) {
  const auto result = qwen25::Run(std::vector<std::string>(argv + 1, argv + argc));
  if (!result.ok()) {
    std::fprintf(stderr, "%s\n", result.status().message().c_str());
    return 1;
  }
  std::puts((*result).dump().c_str());
  return 0;
}

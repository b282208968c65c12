#include "data/train_tokenizer.h"

#include <optional>
#include <utility>

#include "data/read/text_files.h"
#include "text/chat_template_jinja.h"
#include "text/qwen_chat.h"

namespace qwen25 {

Result<TrainedBpe> TrainTokenizer(std::span<const std::string> inputs, BpeTrainerOptions options,
                                  ThreadPool& threads) {
  constexpr const char* kEndOfText = "<|endoftext|>";
  // ChatML needs its tokens from the start: a vocabulary cannot grow later without new rows of embeddings.
  options.special_tokens = {kEndOfText, "<|im_start|>", "<|im_end|>"};
  QWEN25_TRY(BpeTrainer trainer, BpeTrainer::Create(std::move(options), &threads));
  for (const std::string& input : inputs) {
    QWEN25_TRY(DocumentReader reader, DocumentReader::Open(input));
    while (true) {
      QWEN25_TRY(const std::optional<Document> document, reader.Next());
      if (!document) break;
      trainer.Add(document->text);
    }
  }
  QWEN25_TRY(TrainedBpe trained, trainer.Train());
  trained.tokenizer.eos_token = trained.tokenizer.pad_token = kEndOfText;
  trained.tokenizer.chat_template = ChatTemplateSource(kBaseSystem);
  return trained;
}

}  // namespace qwen25

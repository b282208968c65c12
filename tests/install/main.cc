// What a user's program does with the installed library: trains a tokenizer on a text, saves it with a model
// of random weights as a Hugging Face folder, loads the folder, continues a prompt, and gets a failure as a
// value.
#include <fmt/format.h>
#include <qwen25/infer/generate.h>
#include <qwen25/model/model.h>
#include <qwen25/text/bpe_trainer.h>

#include <string>
#include <vector>

namespace {

constexpr std::string_view kText = "A man, a plan, a canal: Panama. A plan of a canal is not a canal.";

qwen25::Status MakeFolder(const std::string& folder) {
  qwen25::ThreadPool threads(qwen25::DefaultNumThreads());
  qwen25::BpeTrainerOptions options;
  options.vocab_size = 272;
  const std::vector<std::string_view> texts = {kText};
  QWEN25_TRY(const qwen25::TrainedBpe trained, qwen25::TrainBpe(texts, options, threads));
  QWEN25_TRY(const qwen25::Tokenizer tokenizer, qwen25::Tokenizer::FromByteLevelBpe(trained.tokenizer));
  QWEN25_TRY(qwen25::ModelConfig config, qwen25::FindPreset("nano"));
  config.vocab_size = static_cast<uint32_t>(tokenizer.vocab_size());
  config.bos_token_id.reset();
  config.eos_token_ids.clear();
  qwen25::Model model(config);
  model.Initialize(/*seed=*/1);
  QWEN25_RETURN_IF_ERROR(model.Save(folder));
  return tokenizer.Save(folder);
}

qwen25::Status Run(const std::string& folder) {
  QWEN25_RETURN_IF_ERROR(MakeFolder(folder));
  QWEN25_TRY(const qwen25::Tokenizer tokenizer, qwen25::Tokenizer::Load(folder));
  const std::vector<int32_t> prompt = tokenizer.Encode(kText);
  if (tokenizer.Decode(prompt) != kText) return qwen25::Corrupt("the tokenizer does not give the text back");

  QWEN25_TRY(qwen25::Model model, qwen25::Model::Load(folder));
  qwen25::InferenceEngine engine(std::move(model), {.max_context_tokens = 256});
  qwen25::Session session(engine);
  qwen25::GenerateOptions options;
  options.max_new_tokens = 8;
  QWEN25_TRY(const qwen25::GenerateResult result, qwen25::Generate(session, tokenizer, prompt, options));
  if (result.tokens.size() != 8) return qwen25::Corrupt("drew {} tokens, wanted 8", result.tokens.size());
  fmt::print("{} tokens in, {} out\n", prompt.size(), result.tokens.size());

  const auto missing = qwen25::Model::Load(folder + "/nothing");
  if (missing.ok() || missing.status().code() != qwen25::StatusCode::kNotFound)
    return qwen25::Corrupt("a missing folder did not give kNotFound");
  return {};
}

}  // namespace

int main() {
  const qwen25::Status status = Run("outside_model");
  if (!status.ok()) {
    fmt::print(stderr, "outside: {}\n", status.message());
    return 1;
  }
  fmt::print("outside: the installed library works\n");
}

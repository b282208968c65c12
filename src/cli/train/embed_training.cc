#include "cli/train/embed_training.h"

#include "base/file.h"
#include "base/json.h"
#include "base/progress.h"
#include "cli/flags/model_flags.h"
#include "cli/terminal/interrupt.h"
#include "cli/train/train_progress.h"
#include "data/read/text_files.h"
#include "data/read/text_stream.h"
#include "infer/embed_texts.h"
#include "knowledge/pair_maker.h"
#include "pretrained/sentence_settings.h"
#include "text/tokenizer.h"
#include "train/pair_source.h"
#include "train/shard_source.h"

namespace qwen25 {
namespace {

std::vector<int32_t> Tokens(const Tokenizer& tokenizer, const std::string& text) {
  // As ModelEmbedder does for a model whose files state how it embeds, such as the one that results.
  return tokenizer.Encode(text,
                          EncodeOptions{.special = SpecialTokens::kAsText, .add_bos = true, .add_eos = true});
}

Result<std::vector<TokenPair>> ReadPairs(const std::string& path, const Tokenizer& tokenizer) {
  QWEN25_TRY(const std::string content, ReadText(path));
  std::vector<TokenPair> pairs;
  Progress progress("read pairs", "bytes", content.size());
  JsonLines lines(content, path);
  while (true) {
    QWEN25_TRY(const std::optional<Json> json, lines.Next());
    if (!json) return pairs;
    const std::string& origin = lines.origin();
    if (!json->is_object()) {
      return InvalidArgument("{}: expected {{\"query\": ..., \"passage\": ...}}", origin);
    }
    std::string query, passage;
    QWEN25_RETURN_IF_ERROR(ReadField(*json, "query", origin, query));
    QWEN25_RETURN_IF_ERROR(ReadField(*json, "passage", origin, passage));
    if (query.empty() || passage.empty()) {
      return InvalidArgument("{}: \"query\" or \"passage\" is missing or empty", origin);
    }
    pairs.push_back({Tokens(tokenizer, query), Tokens(tokenizer, passage)});
    progress.Update(lines.position());
  }
}

Result<TrainOptions> OptionsOf(const EmbedTrainingFlags& flags) {
  TrainOptions options;
  options.initial = flags.model;
  options.preset.clear();
  options.tokenizer = flags.model;
  options.objective = Objective::kContrastive;
  QWEN25_TRY(const EmbedPooling pooling, ParseEmbedPooling(flags.pooling));
  if (pooling == EmbedPooling::kCausalLast) {
    return InvalidArgument("--pooling causal-last cannot be trained; bidirectional-mean and causal-mean can");
  }
  options.causal = pooling == EmbedPooling::kCausalMean;
  options.train_data = {flags.pairs};
  if (!flags.validation_pairs.empty()) options.validation_data = {flags.validation_pairs};
  options.output = flags.output;
  options.resume = flags.resume;
  options.sequence_length = 256;
  options.tokens_per_step = options.micro_batch_tokens = 8192;
  options.max_steps = flags.max_steps;
  options.max_minutes = flags.max_minutes;
  options.optimizer.learning_rate = 5e-5;
  options.optimizer.weight_decay = 0.01;
  options.schedule.warmup_steps = 20;
  QWEN25_RETURN_IF_ERROR(ApplySettings(flags.settings, "objective.temperature=0.05", options));
  // One key is enough to set the size of a step.
  options.micro_batch_tokens = options.tokens_per_step;
  QWEN25_RETURN_IF_ERROR(options.Validate());
  return options;
}

Result<TrainData> OpenPairs(const EmbedTrainingFlags& flags, const TrainOptions& options) {
  QWEN25_TRY(const Tokenizer tokenizer, Tokenizer::Load(flags.model));
  QWEN25_TRY(std::vector<TokenPair> pairs, ReadPairs(flags.pairs, tokenizer));
  std::vector<TokenPair> held_out;
  if (flags.validation_pairs.empty()) {
    held_out = HoldOutPairs(pairs);
  } else {
    QWEN25_TRY(held_out, ReadPairs(flags.validation_pairs, tokenizer));
  }
  TrainData data;
  PairSourceOptions source{.seed = options.seed, .max_tokens = options.sequence_length};
  QWEN25_TRY(data.train, PairSource::Make(std::move(pairs), source));
  source.endless = false;
  if (held_out.size() >= 2) {
    QWEN25_TRY(data.validation, PairSource::Make(std::move(held_out), source));
  }
  QWEN25_TRY(data.tokenizer_files, TokenizerFilesIn(flags.model));
  return data;
}

}  // namespace

Status WritePairs(const std::vector<std::string>& inputs, const std::string& output, uint64_t seed) {
  if (inputs.empty() || output.empty()) {
    return InvalidArgument("--make-pairs needs files or folders of text, and -o FILE for the pairs");
  }
  std::vector<std::filesystem::path> files;
  for (const std::string& input : inputs) {
    QWEN25_TRY(const std::vector<std::filesystem::path> found, TextFilesIn(input));
    files.insert(files.end(), found.begin(), found.end());
  }
  QWEN25_TRY(AtomicFile out, AtomicFile::Open(output));
  const InterruptGuard guard;
  Progress progress("make pairs", "files", files.size());
  size_t count = 0;
  for (size_t i = 0; i < files.size(); ++i) {
    if (InterruptGuard::requested()) return Cancelled("stopped; {} was not written", output);
    QWEN25_TRY(const std::vector<std::string> texts, ReadTexts(files[i].string()));
    std::string lines;
    for (const std::string& text : texts) {
      for (const TextPair& pair : MakePairs(text, {.seed = seed})) {
        const Json json = {{"query", pair.query}, {"passage", pair.passage}};
        lines += DumpJson(json) + "\n";
        ++count;
      }
    }
    QWEN25_RETURN_IF_ERROR(out.Write(lines));
    progress.Update(i + 1);
  }
  progress.Finish();
  if (count == 0) return InvalidArgument("the texts have no sentences that pairs could be made of");
  QWEN25_RETURN_IF_ERROR(out.Commit());
  fmt::print("{} pairs in {}\n", count, output);
  return {};
}

Status TrainEmbeddings(const EmbedTrainingFlags& flags) {
  QWEN25_TRY(const TrainOptions options, OptionsOf(flags));
  QWEN25_TRY(TrainData data, OpenPairs(flags, options));
  const bool validates = data.validation != nullptr;
  ThreadPool threads(flags.num_threads == 0 ? DefaultNumThreads() : flags.num_threads);
  const InterruptGuard guard;
  QWEN25_TRY(const std::unique_ptr<Trainer> trainer, Trainer::Create(options, std::move(data), threads));
  PrintNotes(trainer->model().remarks());
  if (validates && trainer->state().step == 0) {
    QWEN25_TRY(const ValidationMetrics before, trainer->Validate());
    fmt::print(stderr, "held out: {} pairs; loss {:.4f} before training\n", before.validation_tokens,
               before.loss);
  }
  QWEN25_TRY(const TrainSummary summary, RunWithProgress(*trainer, options.output));
  QWEN25_RETURN_IF_ERROR(WriteMeanPooling(summary.model, options.causal));
  if (summary.last_validation) fmt::print("; held-out loss {:.4f}", summary.last_validation->loss);
  fmt::print("\nmodel: {0}\nuse it with --embedder model:{0}\n", summary.model.string());
  return {};
}

}  // namespace qwen25
